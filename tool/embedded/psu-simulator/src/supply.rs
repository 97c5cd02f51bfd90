//! The power supply: its state, and its answer to one line.
//!
//! Behaves as EPNix's `psu-simulator` 0.1.0 on lewis, the simulator of the NixOS backend, so that
//! a check sees the same device in every backend.

use crate::noise::Noise;
use crate::text::{help, python_float, scan_float};

/// What `:idn?` answers: the name and version of the simulator this one stands in for.
pub const IDENTIFICATION: &str = "psu-simulator 0.1.0";

/// Load at the output, in ohm.
const RESISTANCE: f64 = 2.0;

/// Largest deviation of a measured value from the true one, in volt or ampere.
pub const NOISE: f64 = 1.5;

/// What the supply holds constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Voltage,
    Current,
}

/// A supply whose output is on, in constant voltage, with nothing set.
#[derive(Debug)]
pub struct Supply {
    /// The mode asked for. Measured values follow it at once.
    mode: Mode,
    /// The mode the regulation runs in: taken from `mode` when the output is turned on, so a new
    /// mode regulates only after the output went off and on, as in the original.
    regulating: Option<Mode>,
    /// Setpoints, in volt and ampere.
    set_voltage: f64,
    set_current: f64,
    /// What the regulation reached, in volt and ampere.
    voltage: f64,
    current: f64,
    noise: Noise,
}

impl Supply {
    /// A supply whose noise is drawn from `seed`: same seed, same noise.
    pub fn new(seed: u64) -> Self {
        Self {
            mode: Mode::Voltage,
            regulating: Some(Mode::Voltage),
            set_voltage: 0.0,
            set_current: 0.0,
            voltage: 0.0,
            current: 0.0,
            noise: Noise::new(seed),
        }
    }

    /// The answer to one line without its end, or `None` where the device stays silent: it does
    /// so for all it does not understand.
    pub fn answer(&mut self, line: &str) -> Option<String> {
        if let Some(rest) = line.strip_prefix("help") {
            let topic = rest.strip_prefix(' ').filter(|topic| !topic.is_empty());
            return Some(help(topic.map(str::trim)));
        }
        match line {
            ":idn?" => return Some(IDENTIFICATION.to_owned()),
            "outp:pon?" => return Some(if self.is_on() { "ON" } else { "OFF" }.to_owned()),
            "outp:mode?" => {
                return Some(match self.mode {
                    Mode::Voltage => "CV".to_owned(),
                    Mode::Current => "CC".to_owned(),
                });
            }
            ":volt?" => return Some(python_float(self.set_voltage)),
            ":curr?" => return Some(python_float(self.set_current)),
            "meas:volt?" => return Some(self.measure(Self::true_voltage)),
            "meas:curr?" => return Some(self.measure(Self::true_current)),
            _ => {}
        }
        let (command, argument) = line.split_once(|c: char| c.is_ascii_whitespace())?;
        let argument = argument.trim_start_matches(|c: char| c.is_ascii_whitespace());
        if argument.is_empty() || argument.contains(|c: char| c.is_ascii_whitespace()) {
            return None;
        }
        let accepted = match command {
            "outp:pon" => self.switch(argument),
            "outp:mode" => self.set_mode(argument),
            ":volt" => {
                self.set_voltage = scan_float(argument)?;
                true
            }
            ":curr" => {
                self.set_current = scan_float(argument)?;
                true
            }
            _ => return None,
        };
        self.regulate();
        Some(if accepted { "OK" } else { "ERR" }.to_owned())
    }

    fn is_on(&self) -> bool {
        self.regulating.is_some()
    }

    fn switch(&mut self, argument: &str) -> bool {
        match argument.to_ascii_lowercase().as_str() {
            "on" | "1" => self.regulating = self.regulating.or(Some(self.mode)),
            "off" | "0" => self.regulating = None,
            _ => return false,
        }
        true
    }

    fn set_mode(&mut self, argument: &str) -> bool {
        self.mode = match argument.to_ascii_lowercase().as_str() {
            "cv" => Mode::Voltage,
            "cc" => Mode::Current,
            _ => return false,
        };
        true
    }

    fn regulate(&mut self) {
        match self.regulating {
            Some(Mode::Voltage) => self.voltage = self.set_voltage,
            Some(Mode::Current) => self.current = self.set_current,
            None => {}
        }
    }

    fn true_voltage(&self) -> f64 {
        match (self.is_on(), self.mode) {
            (false, _) => 0.0,
            (true, Mode::Voltage) => self.voltage,
            (true, Mode::Current) => self.current * RESISTANCE,
        }
    }

    fn true_current(&self) -> f64 {
        match (self.is_on(), self.mode) {
            (false, _) => 0.0,
            (true, Mode::Voltage) => self.voltage / RESISTANCE,
            (true, Mode::Current) => self.current,
        }
    }

    fn measure(&mut self, truth: fn(&Self) -> f64) -> String {
        python_float(truth(self) + self.noise.within(NOISE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(supply: &mut Supply, lines: &[(&str, &str)]) {
        for (line, reply) in lines {
            assert_eq!(supply.answer(line).as_deref(), Some(*reply), "to {line:?}");
        }
    }

    fn measured(supply: &mut Supply, line: &str) -> f64 {
        supply.answer(line).unwrap().parse().unwrap()
    }

    #[test]
    fn starts_on_in_constant_voltage_with_nothing_set() {
        talk(
            &mut Supply::new(1),
            &[
                (":idn?", "psu-simulator 0.1.0"),
                ("outp:pon?", "ON"),
                ("outp:mode?", "CV"),
                (":volt?", "0.0"),
                (":curr?", "0.0"),
            ],
        );
    }

    #[test]
    fn set_commands_answer_and_take_effect() {
        talk(
            &mut Supply::new(1),
            &[
                (":volt 42", "OK"),
                (":volt?", "42.0"),
                (":curr 1.25", "OK"),
                (":curr?", "1.25"),
                ("outp:pon OFF", "OK"),
                ("outp:pon?", "OFF"),
                ("outp:pon 1", "OK"),
                ("outp:pon?", "ON"),
                ("outp:pon 0", "OK"),
                ("outp:pon on", "OK"),
                ("outp:pon maybe", "ERR"),
                ("outp:pon?", "ON"),
                ("outp:mode CC", "OK"),
                ("outp:mode?", "CC"),
                ("outp:mode cv", "OK"),
                ("outp:mode X", "ERR"),
                ("outp:mode?", "CV"),
            ],
        );
    }

    #[test]
    fn stays_silent_on_what_it_does_not_understand() {
        let mut supply = Supply::new(1);
        for line in [
            "",
            " ",
            "*IDN?",
            ":idn",
            ":idn? ",
            ":volt",
            ":volt ",
            ":volt abc",
            ":volt 1 2",
            ":volt nan",
            ":VOLT 1",
            "outp:pon",
            "outp:pon ON OFF",
            ":volt 1\r",
            "\u{fffd}",
        ] {
            assert_eq!(supply.answer(line), None, "to {line:?}");
        }
        talk(&mut supply, &[(":volt?", "0.0")]);
    }

    #[test]
    fn measured_values_stay_within_the_noise_and_are_not_constant() {
        let mut supply = Supply::new(7);
        talk(&mut supply, &[(":volt 42", "OK")]);
        let volts: Vec<f64> = (0..1000).map(|_| measured(&mut supply, "meas:volt?")).collect();
        assert!(volts.iter().all(|v| (v - 42.0).abs() <= NOISE));
        assert!(volts.iter().any(|v| *v > 43.0) && volts.iter().any(|v| *v < 41.0));
        let amps: Vec<f64> = (0..1000).map(|_| measured(&mut supply, "meas:curr?")).collect();
        assert!(amps.iter().all(|a| (a - 21.0).abs() <= NOISE));
    }

    #[test]
    fn an_output_that_is_off_measures_only_noise() {
        let mut supply = Supply::new(7);
        talk(&mut supply, &[(":volt 42", "OK"), ("outp:pon OFF", "OK")]);
        assert!(measured(&mut supply, "meas:volt?").abs() <= NOISE);
        talk(&mut supply, &[("outp:pon ON", "OK")]);
        assert!((measured(&mut supply, "meas:volt?") - 42.0).abs() <= NOISE);
    }

    #[test]
    fn a_new_mode_regulates_after_the_output_went_off_and_on() {
        let mut supply = Supply::new(7);
        talk(&mut supply, &[(":curr 10", "OK"), ("outp:mode CC", "OK")]);
        assert!(measured(&mut supply, "meas:curr?").abs() <= NOISE);
        talk(&mut supply, &[("outp:pon OFF", "OK"), ("outp:pon ON", "OK")]);
        assert!((measured(&mut supply, "meas:curr?") - 10.0).abs() <= NOISE);
        assert!((measured(&mut supply, "meas:volt?") - 20.0).abs() <= NOISE);
    }

    #[test]
    fn the_seed_decides_the_noise() {
        let series = |seed| {
            let mut supply = Supply::new(seed);
            (0..10).map(|_| supply.answer("meas:volt?").unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(series(3), series(3));
        assert_ne!(series(3), series(4));
    }

    #[test]
    fn no_line_upsets_it() {
        let words = [
            "help",
            ":volt",
            ":curr",
            "meas:volt?",
            "outp:pon",
            "outp:mode",
            " ",
            "\t",
            "1",
            "-2.5e3",
            "OFF",
            "CC",
            "é",
            "?",
        ];
        let mut noise = Noise::new(0);
        let mut supply = Supply::new(0);
        for _ in 0..20_000 {
            let mut word = || words[usize::try_from(noise.next() % words.len() as u64).unwrap()];
            let line = format!("{}{}{}{}", word(), word(), word(), word());
            supply.answer(&line);
            let volts: f64 = supply.answer(":volt?").unwrap().parse().unwrap();
            assert!(volts.is_finite(), "after {line:?}");
        }
    }

    #[test]
    fn help_lists_every_command_and_explains_one() {
        let mut supply = Supply::new(1);
        let all = supply.answer("help").unwrap();
        for command in [
            "help (%s)",
            ":idn?",
            "outp:pon?",
            "outp:pon %s",
            "outp:mode?",
            "outp:mode %s",
            "meas:curr?",
            ":curr?",
            ":curr %f",
            "meas:volt?",
            ":volt?",
            ":volt %f",
        ] {
            assert!(all.contains(&format!(" - '{command}': ")), "{command} in:\n{all}");
        }
        assert!(supply.answer("help :volt").unwrap().contains("Usage: :volt <float>"));
        assert!(supply.answer("help outp:pon?").unwrap().contains("Usage: outp:pon?"));
        assert!(supply.answer("help help").unwrap().contains("Usage: help <command>"));
        talk(&mut supply, &[("help nonsense", "Unknown command")]);
    }
}
