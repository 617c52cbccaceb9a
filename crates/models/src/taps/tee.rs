//! One forward pass, several listeners.

use microtome_core::{Result, Site};

use crate::{SiteData, Tap, Tokens};

/// Offers every site to all listeners that want it.
pub struct Tee<'a>(pub Vec<&'a mut dyn Tap>);

impl Tap for Tee<'_> {
    fn wants(&self, site: &Site) -> bool {
        self.0.iter().any(|t| t.wants(site))
    }

    fn offer(&mut self, site: &Site, tokens: &Tokens, data: SiteData<'_>) -> Result<()> {
        for tap in self.0.iter_mut().filter(|t| t.wants(site)) {
            tap.offer(site, tokens, data)?;
        }
        Ok(())
    }
}
