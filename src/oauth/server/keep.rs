//! Tokens as the store keeps them.

use super::Server;
use super::answer::Request;
use super::backing::{known, millis};
use super::client::{Client, Format};
use super::fault::Fault;
use super::issue::{Issued, Order, ValueKind};
use super::token::Refresh;
use crate::store::vault::Place;
use crate::store::{
    AccessToken, Cut, GrantFamily, Issue, Millis, RefreshState, RefreshToken, new_id,
};
use std::time::Duration;
use uuid::Uuid;

/// How much longer than its tokens a revocation is kept.
const MARGIN: Duration = Duration::from_secs(600);

pub(super) fn strings(names: &[Box<str>]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn at(time: crate::clock::UnixTime) -> Millis {
    Millis::from_seconds(time.seconds())
}

impl Server {
    /// The row of a reference; none for a signed token.
    pub(super) fn access_row(
        &self,
        order: &Order<'_>,
        issued: &Issued,
        refresh: Option<Uuid>,
    ) -> Result<Option<AccessToken>, Fault> {
        if issued.format == Format::Jwt {
            return Ok(None);
        }
        let kept = self
            .backing
            .vault()
            .keep_token(Place::AccessToken, issued.id, &issued.value)
            .map_err(Fault::from)?;
        let mut claims = issued.claims.clone();
        claims.extend(order.details.clone());
        Ok(Some(AccessToken {
            hash: kept.hash,
            id: issued.id,
            server: self.label.to_string(),
            client_key: order.client.pk,
            client_id: order.client.id.to_string(),
            family: order.family,
            refresh,
            subject: order.user.map(str::to_owned),
            scope: strings(order.scope),
            audience: order.audience.clone(),
            confirmation: (!order.confirmation.is_empty()).then(|| order.confirmation.to_json()),
            claims,
            service: order.service.clone(),
            sealed: kept.sealed,
            preview: kept.preview,
            issued_at: millis(),
            expires_at: issued.expires_at.map(at),
            revoked_at: None,
        }))
    }

    /// Stores what a grant without refresh token issued.
    pub(super) async fn store_access(
        &self,
        order: &Order<'_>,
        issued: &Issued,
    ) -> Result<(), Fault> {
        let Some(access) = self.access_row(order, issued, None)? else {
            return Ok(());
        };
        let issue = Issue {
            access: Some(access),
            ..Issue::default()
        };
        known(self.backing.needed()?.issue(issue)).await
    }

    /// A new refresh token and its row.
    pub(super) fn refresh_row(
        &self,
        client: &Client,
        family: &GrantFamily,
        parent: Option<Uuid>,
        access: &Issued,
        confirmation: Option<serde_json::Value>,
    ) -> Result<(Refresh, RefreshToken), Fault> {
        let value = self.opaque(ValueKind::Refresh)?;
        let id = new_id();
        let kept = self
            .backing
            .vault()
            .keep_token(Place::RefreshToken, id, &value)
            .map_err(Fault::from)?;
        let now = millis();
        let lifetime = client.ttl.refresh_token.min(client.ttl.refresh_token_idle);
        let own = now.plus(lifetime);
        let expires_at = family.expires_at.map_or(own, |end| own.min(end));
        let row = RefreshToken {
            hash: kept.hash,
            id,
            family: family.id,
            parent,
            state: RefreshState::Active,
            successor: None,
            rotated_at: None,
            grace_uses: 0,
            access: Some(access.id.to_string()),
            confirmation,
            sealed: kept.sealed,
            preview: kept.preview,
            issued_at: now,
            expires_at: Some(expires_at),
        };
        let refresh = Refresh {
            value,
            expires_in: (expires_at.0 - now.0).div_euclid(1000).max(0),
        };
        Ok((refresh, row))
    }

    /// A new family.
    pub(super) fn family_row(
        &self,
        client: &Client,
        id: Uuid,
        subject: Option<&str>,
        scope: &[Box<str>],
        resources: &[String],
        details: serde_json::Map<String, serde_json::Value>,
    ) -> GrantFamily {
        let now = millis();
        GrantFamily {
            id,
            server: self.label.to_string(),
            client_key: client.pk,
            client_id: client.id.to_string(),
            subject: subject.map(str::to_owned),
            scope: strings(scope),
            resources: resources.to_vec(),
            details,
            created_at: now,
            expires_at: self.refresh.absolute_ttl.map(|ttl| now.plus(ttl)),
            revoked_at: None,
        }
    }

    /// How a revocation is written: for as long as any token lives that it can hit.
    pub(super) fn cut(&self, actor: String) -> Cut {
        let now = millis();
        let longest = self.ttl.longest().max(self.ttl.refresh_token);
        Cut {
            at: now,
            until: now.plus(longest + MARGIN),
            actor,
        }
    }

    /// Ends all tokens of a grant.
    pub(super) async fn end_family(&self, family: Uuid, client: &str) -> Result<(), Fault> {
        let store = self.backing.needed()?;
        let cut = self.cut(format!("client:{client}"));
        known(store.revoke_family(family, &self.label, cut))
            .await
            .map(|_| ())
    }

    /// Whether the request's caller gets a refresh token with a grant.
    pub(super) fn gives_refresh(&self, client: &Client, _: &Request<'_>) -> bool {
        self.serves(super::Grant::RefreshToken) && client.may_use(super::Grant::RefreshToken)
    }
}
