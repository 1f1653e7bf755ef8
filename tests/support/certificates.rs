//! Fresh certificates.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};

use super::case::Certificates;
use super::{Mismatch, tokens};

const DAY: u64 = 24 * 60 * 60;

/// Makes the certificates and writes NAME.crt and NAME.key of each.
pub fn write(certificates: &Certificates, folder: &Path) -> Result<(), Mismatch> {
    let mut issuers = BTreeMap::new();
    for (name, spec) in &certificates.0 {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters
            .distinguished_name
            .push(DnType::CommonName, spec.cn.as_ref().unwrap_or(name));
        parameters.is_ca = if spec.ca {
            IsCa::Ca(BasicConstraints::Unconstrained)
        } else {
            IsCa::ExplicitNoCa
        };
        for alternative in &spec.names {
            parameters
                .subject_alt_names
                .push(match alternative.parse::<IpAddr>() {
                    Ok(address) => SanType::IpAddress(address),
                    Err(_) => SanType::DnsName(alternative.as_str().try_into()?),
                });
        }
        let epoch = date_time_ymd(1970, 1, 1);
        let valid_for = spec.days.unwrap_or(30).saturating_mul(DAY.cast_signed());
        parameters.not_before = epoch + Duration::from_secs(tokens::now() - 2 * DAY);
        parameters.not_after =
            epoch + Duration::from_secs(tokens::now().saturating_add_signed(valid_for));
        let certificate = match &spec.issuer {
            None => parameters.self_signed(&key)?,
            Some(issuer) => {
                let issuer = issuers.get(issuer).ok_or_else(|| {
                    Mismatch::new(format!("{name}: no certificate {issuer} before it"))
                })?;
                parameters.signed_by(&key, issuer)?
            }
        };
        std::fs::write(folder.join(format!("{name}.crt")), certificate.pem())?;
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
        issuers.insert(name.clone(), Issuer::new(parameters, key));
    }
    Ok(())
}
