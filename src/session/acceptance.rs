//! Gates that are overridden, with the reason.

use anyhow::{Result, bail, ensure};

use crate::expression::did_you_mean;
use crate::gates::verdicts::GATES;

/// Gates to override, as they are asked for.
#[derive(Debug, Clone, Default)]
pub struct AcceptRequest {
    /// Their keys in the pipeline file.
    pub gates: Vec<String>,
    /// Why.
    pub because: Option<String>,
}

/// A gate to override, and why.
#[derive(Debug, Clone)]
pub struct Accept {
    /// The gate's key in the pipeline file.
    pub gate: String,
    /// Why.
    pub because: String,
}

impl AcceptRequest {
    /// The gates, each with the reason.
    ///
    /// # Errors
    /// When a gate does not exist, or no reason is given.
    pub fn checked(&self) -> Result<Vec<Accept>> {
        let because = self.because.as_deref().map(str::trim).unwrap_or_default();
        for gate in &self.gates {
            if !GATES.contains(&gate.as_str()) {
                let hint = did_you_mean(gate, GATES);
                bail!("--accept {gate}: there is no such gate{hint}; there are {}", GATES.join(", "));
            }
        }
        ensure!(self.gates.is_empty() || !because.is_empty(), "--accept needs a reason: --because TEXT");
        Ok(self.gates.iter().map(|gate| Accept { gate: gate.clone(), because: because.to_owned() }).collect())
    }
}
