//! What must hold, and whether it does.

use super::paper::{Table, median, told};

#[derive(Default)]
pub struct Targets {
    all: Vec<(String, Bound, Vec<f64>)>,
}

/// What a median must not exceed.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    pub most: f64,
    pub unit: &'static str,
}

impl Bound {
    /// Of a ratio.
    pub const fn ratio(most: f64) -> Bound {
        Bound { most, unit: "" }
    }

    const fn digits(self) -> usize {
        if self.most < 10.0 { 2 } else { 0 }
    }

    pub fn told(self) -> String {
        let (digits, unit) = (self.digits(), self.unit);
        format!("{:.digits$}{unit}", self.most)
    }

    /// The figures and what they mean.
    pub fn verdict(self, values: &[f64]) -> String {
        let verdict = match median(values) {
            None => return String::from("not measured"),
            Some(median) if median <= self.most => "reached",
            Some(_) => "**missed**",
        };
        format!("{}{} {verdict}", told(values, self.digits()), self.unit)
    }
}

impl Targets {
    pub fn hold(&mut self, what: String, bound: Bound, values: Vec<f64>) {
        self.all.push((what, bound, values));
    }

    /// Empty where there is none.
    pub fn told(&self) -> String {
        if self.all.is_empty() {
            return String::new();
        }
        let mut table = Table::new(["target", "at most", "measured"]);
        for (what, bound, values) in &self.all {
            table.row([what.clone(), bound.told(), bound.verdict(values)]);
        }
        format!("### Other targets\n\n{table}")
    }
}
