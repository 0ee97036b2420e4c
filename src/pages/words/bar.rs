//! What the bar says. Its script fills in `{name}` and `{time}` while time runs.

use serde::Serialize;

use super::{Words, words};

/// For the script, as JSON.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct BarWords {
    /// For `lang`: the page around the bar has a language of its own.
    lang: &'static str,
    applications: &'static str,
    company: &'static str,
    switch: &'static str,
    time_left: &'static str,
    stay: &'static str,
    log_in_again: &'static str,
    this_application: &'static str,
    ends_in: &'static str,
    closes_in: &'static str,
    is_closed: &'static str,
    minutes_and_seconds: &'static str,
    seconds: &'static str,
}

impl Words {
    pub const fn of_bar(self) -> BarWords {
        BarWords {
            lang: self.tag(),
            applications: self.applications(),
            company: self.company(),
            switch: self.bar_switch(),
            time_left: self.bar_time_left(),
            stay: self.bar_stay(),
            log_in_again: self.log_in_again(),
            this_application: self.bar_this_application(),
            ends_in: self.bar_ends_in(),
            closes_in: self.bar_closes_in(),
            is_closed: self.bar_is_closed(),
            minutes_and_seconds: self.bar_minutes_and_seconds(),
            seconds: self.bar_seconds(),
        }
    }
}

words! {
    bar_switch
        en "Switch"
        es "Cambiar"
    bar_time_left
        en "Time left"
        es "Tiempo restante"
    bar_stay
        en "Stay signed in"
        es "Mantener la sesión"
    bar_this_application
        en "This application"
        es "Esta aplicación"
    bar_ends_in
        en "Your sign-in ends in {time}. Please save your work."
        es "Su sesión termina en {time}. Guarde su trabajo."
    bar_closes_in
        en "{name} closes in {time} because nothing was done here."
        es "{name} se cierra en {time} por falta de actividad."
    bar_is_closed
        en "{name} is closed: your sign-in has ended. What you typed is still on this page: send it, and it is kept until you have logged in again."
        es "{name} está cerrada: su sesión ha terminado. Lo que escribió sigue en esta página: envíelo y se guardará hasta que haya iniciado sesión de nuevo."
    bar_minutes_and_seconds
        en "{minutes} min {seconds} s"
        es "{minutes} min {seconds} s"
    bar_seconds
        en "{seconds} s"
        es "{seconds} s"
}
