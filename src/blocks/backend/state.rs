//! The variables `backend` and `backends.LABEL`.

use super::health::Snapshot;
use super::timeouts::Timeout;
use super::token_request::Tokens;
use super::{Backend, text_of};
use crate::blocks::duration;
use crate::expr::{Program, Text, Value};

impl Backend {
    /// The state that `backends.LABEL` shows.
    pub fn state(&self) -> Value<'_> {
        self.state_with(&Tokens::default())
    }

    /// The state as a request with these tokens sees it.
    pub fn state_with(&self, tokens: &Tokens) -> Value<'_> {
        let mut state = self.settings_state();
        state.extend(self.instance.token_state(tokens));
        Value::object(state)
    }

    /// The connection settings, as far as they are known without a request, and the health, which is
    /// good where nobody looks.
    fn settings_state(&self) -> Vec<(Text<'_>, Value<'_>)> {
        let known = |program: &Option<Program>| {
            let value = program.as_ref().and_then(Program::constant);
            value.map_or_else(String::new, |value| text_of(value.borrowed()))
        };
        let address = self.fixed.as_ref().map(|target| {
            let settings = target.settings();
            format!("{}:{}", settings.host, settings.port)
        });
        let hostname = match known(&self.hostname) {
            name if name.is_empty() => {
                let authority = self.fixed.as_ref().map(|target| target.authority());
                authority.unwrap_or_default().to_owned()
            }
            name => name,
        };
        let time = |timeout: &Timeout| match timeout {
            Timeout::Fixed(duration) => duration::show(*duration),
            Timeout::Dynamic(_, default) => duration::show(*default),
        };
        let [connect, ttfb, total] = &self.timeouts;
        let health = match &self.instance.health {
            None => Snapshot::default(),
            Some(health) => health.snapshot(),
        };
        let health = Value::object(vec![
            ("healthy".into(), Value::Bool(health.state.is_healthy())),
            ("state".into(), Value::from(health.state.name())),
            ("error".into(), Value::from(health.error)),
        ]);
        vec![
            ("name".into(), Value::from(&*self.label)),
            ("origin".into(), Value::from(address.unwrap_or_default())),
            ("hostname".into(), Value::from(hostname)),
            ("connect_timeout".into(), Value::from(time(connect))),
            ("ttfb_timeout".into(), Value::from(time(ttfb))),
            ("timeout".into(), Value::from(time(total))),
            ("health".into(), health),
        ]
    }
}
