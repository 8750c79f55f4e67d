//! Shamir's Secret Sharing over GF(2⁸), as HashiCorp Vault has it: each part is the values of the polynomials, and last the place where they were taken.

use zeroize::Zeroizing;

/// The secret that the parts make; none when they do not fit together.
pub(super) fn combine(parts: &[Zeroizing<Vec<u8>>]) -> Option<Zeroizing<Vec<u8>>> {
    let (length, xs) = (parts.first()?.len(), parts.iter().map(|part| part.last().copied()));
    let xs: Vec<u8> = xs.collect::<Option<_>>()?;
    let is_set = xs.iter().enumerate().all(|(index, x)| *x != 0 && !xs[..index].contains(x));
    if parts.len() < 2 || length < 2 || parts.iter().any(|part| part.len() != length) || !is_set {
        return None;
    }
    let value_at_zero = |place: usize| {
        parts.iter().zip(&xs).fold(0, |sum, (part, x)| {
            let others = xs.iter().filter(|other| *other != x);
            let basis =
                others.fold(1, |product, other| multiply(product, multiply(*other, inverse(other ^ x))));
            sum ^ multiply(part[place], basis)
        })
    };
    Some(Zeroizing::new((0..length - 1).map(value_at_zero).collect()))
}

/// In the field of AES.
fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    for _ in 0..8 {
        product ^= a & (b & 1).wrapping_neg();
        let carry = (a >> 7).wrapping_neg();
        a = (a << 1) ^ (0x1b & carry);
        b >>= 1;
    }
    product
}

/// a²⁵⁴, which times a is 1.
fn inverse(a: u8) -> u8 {
    let mut power = 1;
    for _ in 0..254 {
        power = multiply(power, a);
    }
    power
}

/// Parts of a secret, of which `needed` make it again.
#[cfg(not(target_family = "wasm"))]
pub(super) fn split(secret: &[u8], parts: u8, needed: u8) -> Vec<Vec<u8>> {
    use aes_gcm::aead::OsRng;
    use aes_gcm::aead::rand_core::RngCore as _;
    let mut polynomials = Vec::new();
    for byte in secret {
        let mut coefficients = vec![0; usize::from(needed.max(1))];
        OsRng.fill_bytes(&mut coefficients);
        coefficients[0] = *byte;
        polynomials.push(coefficients);
    }
    let value = |coefficients: &Vec<u8>, x| coefficients.iter().rev().fold(0, |sum, c| multiply(sum, x) ^ c);
    (1..=parts).map(|x| polynomials.iter().map(|p| value(p, x)).chain([x]).collect()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn enough_parts_make_the_secret_and_fewer_do_not() {
        let parts: Vec<_> = split(b"a data key", 5, 3).into_iter().map(Zeroizing::new).collect();
        for chosen in [[0, 1, 2], [4, 2, 0], [1, 3, 4]] {
            let chosen: Vec<_> = chosen.iter().map(|index: &usize| parts[*index].clone()).collect();
            assert_eq!(combine(&chosen).unwrap().as_slice(), b"a data key");
        }
        assert_ne!(combine(&parts[..2]).unwrap().as_slice(), b"a data key");
        assert!(combine(&parts[..1]).is_none());
        assert!(combine(&[parts[0].clone(), parts[0].clone()]).is_none());
    }

    #[test]
    fn it_is_the_field_of_aes() {
        // FIPS 197, section 4.2.
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert!((1..=255).all(|a| multiply(a, inverse(a)) == 1));
    }
}
