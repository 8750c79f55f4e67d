//! From Flux to Plumbline and back.

mod flux;
mod helm_controller;

mod flux_is_handed_back_what_it_expects;
mod flux_releases_are_taken_over_and_handed_back;
mod plumb_migrate_hands_over_when_told;
mod what_flux_applied_is_taken_over;
