//! The text of our ids. Owns: the digits that were written last. Takes: a number. Gives: its digits; of the next number only
//! the last ones are written anew.

/// Room for the text of one of our ids. The next one is written into the same room with less effort when it is near.
#[derive(Debug, Clone, Copy, Default)]
pub struct IdRoom {
    digits: [u8; 20],
    length: usize,
    /// The number that stands there, with its last `LOW` digits at zero.
    base: u64,
    pub(super) hex: [u8; 8],
}

/// So many digits are written anew when those before them stay; what they count up to.
const LOW: usize = 4;
const LOW_END: u64 = 10_u64.pow(LOW as u32);

impl IdRoom {
    pub(super) fn decimal(&mut self, number: u64) -> &[u8] {
        let near = number.checked_sub(self.base).filter(|low| *low < LOW_END && self.length > LOW);
        let Some(low) = near else {
            let mut buffer = itoa::Buffer::new();
            let text = buffer.format(number).as_bytes();
            self.base = number - number % LOW_END;
            self.length = text.len();
            if let Some(digits) = self.digits.get_mut(..text.len()) {
                digits.copy_from_slice(text);
            }
            return self.digits.get(..self.length).unwrap_or_default();
        };
        if let Some(last) = self.digits.get_mut(self.length - LOW..self.length) {
            let (high, rest) = (low / 100, low % 100);
            let digits: [u64; LOW] = [high / 10, high % 10, rest / 10, rest % 10];
            last.copy_from_slice(&digits.map(|digit| b'0' + digit as u8));
        }
        self.digits.get(..self.length).unwrap_or_default()
    }
}
