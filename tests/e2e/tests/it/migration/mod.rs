//! From Flux to Plumbline and back.

mod flux;

mod flux_is_handed_back_what_it_expects;
mod plumb_migrate_hands_over_when_told;
mod what_flux_applied_is_taken_over;
