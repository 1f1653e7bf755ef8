//! Keys of the operator's own login page, and where tokens are bound to.

use super::Server;
use super::answer::Request;
use super::client::sha256;
use super::fault::{Condition, Fault};
use super::parameters::Parameters;
use crate::crypto::constant_time;

impl Server {
    /// `provision_key` must be one of the configured ones.
    pub(super) fn check_provision_key(&self, parameters: &Parameters<'_>) -> Result<(), Fault> {
        let given = parameters.get("provision_key").unwrap_or_default();
        let given = sha256(given.as_bytes());
        let mut known = false;
        for key in &self.provision_keys {
            known |= constant_time::equal(key, &given);
        }
        if known {
            Ok(())
        } else {
            Err(Fault::new(Condition::ProvisionKey))
        }
    }

    /// Where a token is good, if it is bound to where it was issued.
    pub(super) fn service(&self, request: &Request<'_>) -> Option<String> {
        (self.bind_to_mount && !self.global_credentials).then(|| request.mount.to_owned())
    }
}
