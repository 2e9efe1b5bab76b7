//! Little-endian octets in and out, bounded. Owns: a place in a slice. Takes, gives: numbers and strings. Never: reads or
//! writes past the end.

/// Where encoded values go: counted first, then written.
pub(crate) trait Sink {
    fn put(&mut self, octets: &[u8]);

    fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    /// A name or number of at most 255 octets; what is longer is cut.
    fn short(&mut self, text: &[u8]) {
        let text = text.get(..255).unwrap_or(text);
        self.u8(text.len() as u8);
        self.put(text);
    }

    /// A text of at most 65,535 octets; what is longer is cut.
    fn long(&mut self, text: &[u8]) {
        let text = text.get(..0xFFFF).unwrap_or(text);
        self.u16(text.len() as u16);
        self.put(text);
    }
}

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Count(pub(super) usize);

impl Sink for Count {
    fn put(&mut self, octets: &[u8]) {
        self.0 += octets.len();
    }
}

/// Writes into a slice that was measured by `Count`.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    rest: &'a mut [u8],
}

impl<'a> Writer<'a> {
    pub(crate) const fn new(out: &'a mut [u8]) -> Self {
        Self { rest: out }
    }

    /// What was not written to.
    pub(super) fn rest(self) -> &'a mut [u8] {
        self.rest
    }
}

impl Sink for Writer<'_> {
    #[inline]
    fn put(&mut self, octets: &[u8]) {
        let rest = core::mem::take(&mut self.rest);
        let (to, rest) = rest.split_at_mut(octets.len());
        to.copy_from_slice(octets);
        self.rest = rest;
    }
}

/// Reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn short(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }

    pub(crate) fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// Everything that is left.
    pub(crate) const fn all(self) -> &'a [u8] {
        self.rest
    }
}
