//! OAuth 2.0 protocol code. It knows neither the configuration language nor an HTTP library: callers
//! bring what was configured as plain data and the way to send a request as a closure.

pub mod client;
pub mod server;
