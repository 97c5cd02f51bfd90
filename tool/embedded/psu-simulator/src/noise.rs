//! Repeatable random numbers: splitmix64.

/// A stream of random numbers; two streams of one seed are equal.
#[derive(Debug)]
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, uniform in `-limit..=limit`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double")]
    pub fn within(&mut self, limit: f64) -> f64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        limit * (2.0 * unit - 1.0)
    }

    /// The next number, uniform in all of them.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_the_range_evenly() {
        let mut noise = Noise::new(0);
        let values: Vec<f64> = (0..10_000).map(|_| noise.within(1.5)).collect();
        assert!(values.iter().all(|v| v.abs() <= 1.5));
        for bin in -3..3 {
            let low = f64::from(bin) / 2.0;
            let hits = values.iter().filter(|v| (low..low + 0.5).contains(*v)).count();
            assert!((1400..1950).contains(&hits), "{hits} of 10000 from {low}");
        }
    }
}
