//! Texts that depend on a number. English and Spanish know one and many; a language that knows more
//! finds its place here.

use super::Words;

impl Words {
    pub fn seconds(self, count: u64) -> String {
        match count {
            1 => self.one_second().to_owned(),
            count => self.many_seconds(count),
        }
    }

    pub fn minutes(self, count: u64) -> String {
        match count {
            1 => self.one_minute().to_owned(),
            count => self.many_minutes(count),
        }
    }

    pub fn hours(self, count: u64) -> String {
        match count {
            1 => self.one_hour().to_owned(),
            count => self.many_hours(count),
        }
    }

    pub fn days(self, count: u64) -> String {
        match count {
            1 => self.one_day().to_owned(),
            count => self.many_days(count),
        }
    }

    pub fn recovery_codes_left(self, count: u32) -> String {
        match count {
            1 => self.one_recovery_code_left().to_owned(),
            count => self.many_recovery_codes_left(count),
        }
    }

    pub fn sessions_ended(self, count: usize) -> String {
        match count {
            0 => self.sessions_had_ended().to_owned(),
            1 => self.one_session_ended().to_owned(),
            count => self.many_sessions_ended(count),
        }
    }

    /// `person` is whose they are; empty: everybody's.
    pub fn sign_ins_at_work(self, company: &str, count: usize, person: &str) -> String {
        match (count, person) {
            (1, "") => self.one_sign_in_at_work(company),
            (1, person) => self.one_sign_in_at_work_by(company, person),
            (count, "") => self.many_sign_ins_at_work(company, count),
            (count, person) => self.many_sign_ins_at_work_by(company, count, person),
        }
    }

    /// `month` counts from 1.
    pub fn date(self, day: i8, month: i8, year: i16) -> String {
        let name = usize::try_from(month)
            .ok()
            .and_then(|month| self.months().split(' ').nth(month.checked_sub(1)?))
            .unwrap_or_default();
        format!("{day} {name} {year}")
    }
}
