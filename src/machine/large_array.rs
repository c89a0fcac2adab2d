//! Large arrays that are read at random, on large pages of memory where the system has them: a table of a hundred
//! megabytes is then found through a few entries of the processor's address cache instead of thousands.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use anyhow::{Context, Result};
use bytemuck::Pod;
use memmap2::MmapMut;

/// An array of fixed length.
#[derive(Debug)]
pub struct LargeArray<T> {
    map: MmapMut,
    len: usize,
    kind: PhantomData<T>,
}

impl<T: Pod> LargeArray<T> {
    /// An array of so many values that are all zero.
    ///
    /// # Errors
    /// When there is not so much memory.
    pub fn zeroed(len: usize) -> Result<Self> {
        let array = Self::in_order(len)?;
        // Where large pages are not to be had, small ones do.
        #[cfg(target_os = "linux")]
        let _ = array.map.advise(memmap2::Advice::HugePage);
        Ok(array)
    }

    /// The same on pages as the system gives them, for what is written and read in order and gains nothing by large ones, which a virtual
    /// machine may have to ask its host for, each time.
    ///
    /// # Errors
    /// When there is not so much memory.
    pub fn in_order(len: usize) -> Result<Self> {
        let bytes = len.checked_mul(size_of::<T>()).context("an array larger than memory")?;
        let map = MmapMut::map_anon(bytes.max(1)).with_context(|| format!("{bytes} bytes of memory"))?;
        Ok(Self { map, len, kind: PhantomData })
    }

    /// An array of so many equal values.
    ///
    /// # Errors
    /// When there is not so much memory.
    pub fn filled(len: usize, value: T) -> Result<Self> {
        let mut array = Self::zeroed(len)?;
        array.fill(value);
        Ok(array)
    }
}

impl<T: Pod> Deref for LargeArray<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        bytemuck::cast_slice(&self.map[..self.len * size_of::<T>()])
    }
}

impl<T: Pod> DerefMut for LargeArray<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(&mut self.map[..self.len * size_of::<T>()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_holds_what_is_put_into_it() {
        let mut array = LargeArray::filled(1_000_000, 7_u32).unwrap();
        array[999_999] = 9;
        assert_eq!((array[0], array[999_999], array.len()), (7, 9, 1_000_000));
        assert!(LargeArray::<u64>::zeroed(0).unwrap().is_empty());
    }
}
