//! Conversions of numbers that look at the number only, as C's do. Those of `epics-stream-rs` look for the end of the whole
//! input at each number, so a long waveform takes time by the square of its length.

use stream_rs::StreamBuffer;
use stream_rs::converter::{Registered, StreamFormatConverter, find, register_converter};
use stream_rs::cstr::CPtr;
use stream_rs::format::StreamFormat;

/// A converter that is shown no more than it can use.
struct Near(&'static Registered);

/// Puts them in the place of the others.
pub fn provide() {
    for (name, provided) in [("StdLongConverter", b"diouxX".as_slice()), ("StdDoubleConverter", b"feEgG")] {
        if let Some(converter) = find(provided[0]).filter(|found| found.name == name) {
            register_converter("NearConverter", provided, Box::new(Near(converter)));
        }
    }
}

impl StreamFormatConverter for Near {
    fn parse(&self, fmt: &StreamFormat<'_>, info: &mut StreamBuffer, source: &mut CPtr<'_>, scan_format: bool) -> i32 {
        self.0.converter.parse(fmt, info, source, scan_format)
    }

    fn print_long(&self, fmt: &StreamFormat<'_>, output: &mut StreamBuffer, value: i64) -> bool {
        self.0.converter.print_long(fmt, output, value)
    }

    fn print_double(&self, fmt: &StreamFormat<'_>, output: &mut StreamBuffer, value: f64) -> bool {
        self.0.converter.print_double(fmt, output, value)
    }

    fn scan_long(&self, fmt: &StreamFormat<'_>, input: CPtr<'_>, value: &mut i64) -> isize {
        self.0.converter.scan_long(fmt, near(fmt, &input), value)
    }

    fn scan_double(&self, fmt: &StreamFormat<'_>, input: CPtr<'_>, value: &mut f64) -> isize {
        self.0.converter.scan_double(fmt, near(fmt, &input), value)
    }
}

/// The input up to the first byte behind a number, and behind the width of the format.
fn near<'a>(fmt: &StreamFormat<'_>, input: &CPtr<'a>) -> CPtr<'a> {
    let (whole, start) = (input.base(), input.offset());
    let rest = whole.get(start..).unwrap_or_default();
    let lead = rest.iter().take_while(|byte| matches!(byte, b'\t'..=b'\r' | b' ' | b'+' | b'-')).count();
    let of_number = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+-._()".contains(byte);
    let number = rest[lead..].iter().take_while(of_number).count();
    let width = usize::try_from(fmt.width).unwrap_or(usize::MAX);
    let end = lead.saturating_add(number.max(width)).saturating_add(1).min(rest.len());
    CPtr::at_offset(&whole[..whole.len().min(start) + end], start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stream_rs::converter::parse_format;
    use stream_rs::protocol::FormatType;

    use super::*;

    /// What a converter gives, and how much it takes.
    fn scanned(
        converter: &dyn StreamFormatConverter,
        fmt: &StreamFormat<'_>,
        input: &[u8],
        start: usize,
    ) -> (isize, u64) {
        let input = CPtr::at_offset(input, start);
        if b"feEgG".contains(&fmt.conv) {
            let mut value = 0.0;
            let taken = converter.scan_double(fmt, input, &mut value);
            return (taken, value.to_bits());
        }
        let mut value = 0;
        let taken = converter.scan_long(fmt, input, &mut value);
        (taken, value.cast_unsigned())
    }

    proptest! {
        #[test]
        fn nothing_else_changes(
            source in "%[-+ #0!]{0,2}[0-9]{0,2}[diouxXfeEgG]",
            input in "[ \t]{0,3}[-+]?[ ]?([0-9]{0,6}[.,xe]?[-+]?[0-9a-f]{0,6}|inf|nan\\(a_1\\)|infinity|0x1p3)[-+,; a\0]{0,2}([0-9]{0,3},){0,3}",
            start in 0_usize..4,
        ) {
            let mut fmt = StreamFormat::default();
            let mut info = StreamBuffer::new();
            let text = [source.as_bytes(), b"\0"].concat();
            if parse_format(&mut CPtr::new(&text), FormatType::ScanFormat, &mut fmt, &mut info) != 0 {
                let plain = find(fmt.conv).unwrap();
                let seen = scanned(&Near(plain), &fmt, input.as_bytes(), start);
                prop_assert_eq!(seen, scanned(plain.converter.as_ref(), &fmt, input.as_bytes(), start));
            }
        }
    }

    #[test]
    fn the_rest_of_the_input_is_not_looked_at() {
        let input = "1.5,2,".repeat(1000);
        let shown = near(&StreamFormat::default(), &CPtr::new(input.as_bytes()));
        assert_eq!(shown.cstr(), b"1.5,");
    }
}
