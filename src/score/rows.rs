//! The columns of scored subjects.

/// No score, no override.
pub const NONE: i16 = -1;

/// Consecutive subjects, one entry each. The first columns come from a subject's own records; scores and what follows
/// are filled when friends are known. What is needed no more is let go, and empty from then on.
#[derive(Debug, Clone, Default)]
pub struct ScoredRows {
    /// Segment, by position in the model file.
    pub segment: Vec<u8>,
    /// Status, by position in the model file.
    pub status: Vec<u8>,
    /// Confidence in thousandths.
    pub confidence: Vec<i16>,
    /// Bins of the scored features, subject by subject.
    pub bins: Vec<u8>,
    /// Share of the score from the subject's own categories, in millionths.
    pub own_share: Vec<u32>,
    /// What friends are told of the subject; see `graph::neighbours`.
    pub marks: Vec<u8>,
    /// The strictest policy rule that a record triggers, by position in the model file, whether it lowers the score or not.
    pub triggered: Vec<Option<u8>>,
    /// Records taken out because they are disputed.
    pub disputed: Vec<i32>,
    /// The score, or [`NONE`].
    pub score: Vec<i16>,
    /// The score before a policy rule lowered it, or [`NONE`].
    pub before: Vec<i16>,
    /// The policy rule that lowered the score, by position in the model file.
    pub policy: Vec<Option<u8>>,
    /// What the score would be with disputed records, or [`NONE`].
    pub with_disputed: Vec<i16>,
}

impl ScoredRows {
    /// Makes room for the columns that come from records.
    pub fn reserve(&mut self, subjects: usize, features: usize) {
        self.segment.reserve_exact(subjects);
        self.status.reserve_exact(subjects);
        self.confidence.reserve_exact(subjects);
        self.bins.reserve_exact(subjects * features);
        self.own_share.reserve_exact(subjects);
        self.marks.reserve_exact(subjects);
        self.triggered.reserve_exact(subjects);
        self.disputed.reserve_exact(subjects);
    }

    /// Makes the columns of scores, in which nobody has one yet.
    pub fn unscored(&mut self) {
        let subjects = self.status.len();
        self.score = vec![NONE; subjects];
        self.before = vec![NONE; subjects];
        self.policy = vec![None; subjects];
        self.with_disputed = vec![NONE; subjects];
    }

    /// Lets go of what friends alone are told, when they are.
    pub fn told(&mut self) {
        (self.own_share, self.marks) = (Vec::new(), Vec::new());
    }

    /// Lets go of what only scores are made of, when they are there.
    pub fn scored(&mut self) {
        self.told();
        self.triggered = Vec::new();
    }

    /// Adds the subjects that follow, which are not scored yet either.
    pub fn append(&mut self, other: &mut Self) {
        self.segment.append(&mut other.segment);
        self.status.append(&mut other.status);
        self.confidence.append(&mut other.confidence);
        self.bins.append(&mut other.bins);
        self.own_share.append(&mut other.own_share);
        self.marks.append(&mut other.marks);
        self.triggered.append(&mut other.triggered);
        self.disputed.append(&mut other.disputed);
    }
}
