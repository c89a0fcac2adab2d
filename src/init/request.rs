//! What the user says of a pipeline that is to be written.

/// What the user says of the pipeline.
pub struct Request<'a> {
    /// Its name.
    pub name: &'a str,
    /// The as-of date.
    pub as_of: &'a str,
    /// The time zone.
    pub zone: &'a str,
    /// The currency.
    pub currency: &'a str,
}
