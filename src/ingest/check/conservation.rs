//! The conservation law: every row of every file, and every row that a `select` makes beside it, ends in exactly one class.

/// What became of a row. A row falls into the first class that applies, visibility first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It counts.
    Used,
    /// It happened, or became known, after the cut-off.
    NotVisible,
    /// It breaks a rule of the contract.
    Quarantined,
    /// It repeats another row.
    Duplicate,
    /// A later version of the record counts instead.
    Superseded,
    /// A tie given twice.
    Merged,
    /// A tie that cannot count: of a subject with itself, or with someone unknown or without consent.
    Dropped,
    /// Its subject disputes it.
    DisputedOut,
    /// Its subject does not consent to be scored.
    WithoutConsent,
    /// Older than any feature looks back.
    OutsideWindows,
    /// The input's `select` leaves it out.
    LeftOut,
    /// Its subject was erased; of a tie, one of the two.
    Erased,
}

impl Class {
    /// Every class, in the order of reports.
    pub const ALL: [Self; 12] = [
        Self::Used,
        Self::NotVisible,
        Self::Quarantined,
        Self::Duplicate,
        Self::Superseded,
        Self::Merged,
        Self::Dropped,
        Self::DisputedOut,
        Self::WithoutConsent,
        Self::OutsideWindows,
        Self::LeftOut,
        Self::Erased,
    ];

    /// Its name in the audit.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::NotVisible => "not_visible",
            Self::Quarantined => "quarantined",
            Self::Duplicate => "duplicate",
            Self::Superseded => "superseded",
            Self::Merged => "merged",
            Self::Dropped => "dropped",
            Self::DisputedOut => "disputed_out",
            Self::WithoutConsent => "without_consent",
            Self::OutsideWindows => "outside_windows",
            Self::LeftOut => "left_out",
            Self::Erased => "erased",
        }
    }
}

/// Rows of one table by file and class.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    files: Vec<[u64; Class::ALL.len()]>,
    /// Rows by file that the input's `select` makes beyond those of the export.
    multiplied: Vec<u64>,
}

impl Tally {
    /// Counts rows of a file.
    pub fn add(&mut self, file: u32, class: Class, rows: u64) {
        let file = file as usize;
        if file >= self.files.len() {
            self.files.resize(file + 1, [0; Class::ALL.len()]);
        }
        self.files[file][class as usize] += rows;
    }

    /// Counts rows that the input's `select` makes of one row of the export, beyond the first.
    pub fn multiply(&mut self, file: u32, rows: u64) {
        let file = file as usize;
        if rows > 0 && file >= self.multiplied.len() {
            self.multiplied.resize(file + 1, 0);
        }
        self.multiplied.get_mut(file).into_iter().for_each(|all| *all += rows);
    }

    /// Adds another tally of the same table.
    pub fn merge(&mut self, other: &Self) {
        for (file, counts) in (0_u32..).zip(&other.files) {
            for class in Class::ALL {
                self.add(file, class, counts[class as usize]);
            }
        }
        (0_u32..).zip(&other.multiplied).for_each(|(file, rows)| self.multiply(file, *rows));
    }

    /// Rows of a file that the input's `select` makes beyond those of the export.
    #[must_use]
    pub fn multiplied(&self, file: usize) -> u64 {
        self.multiplied.get(file).copied().unwrap_or_default()
    }

    /// Number of files in which rows were counted, or that come before such a one.
    #[must_use]
    pub const fn files(&self) -> usize {
        self.files.len()
    }

    /// Rows of a file in a class.
    #[must_use]
    pub fn get(&self, file: usize, class: Class) -> u64 {
        self.files.get(file).map_or(0, |c| c[class as usize])
    }

    /// Rows of a file.
    #[must_use]
    pub fn file_total(&self, file: usize) -> u64 {
        self.files.get(file).map_or(0, |c| c.iter().sum())
    }

    /// Rows of all files in a class.
    #[must_use]
    pub fn total(&self, class: Class) -> u64 {
        self.files.iter().map(|c| c[class as usize]).sum()
    }
}
