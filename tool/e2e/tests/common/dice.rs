//! Random choices that a seed repeats.

/// splitmix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((value ^ (value >> 31)) >> 33).unwrap() % end
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// A number from the environment.
pub fn number(name: &str, default: impl FnOnce() -> u64) -> u64 {
    std::env::var(name).map_or_else(|_| default(), |text| text.parse().unwrap())
}

/// `XTASK_SEED`; in slow tests, another one each time. Whoever takes it prints it.
pub fn seed() -> u64 {
    number("XTASK_SEED", || if super::slow() { std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() } else { 1 })
}
