use proptest::prelude::*;

use super::*;

#[test]
fn syslog_of_logger() {
    let entry = syslog(b"<13>Nov 23 12:00:00 cftag[12]: hello there");
    assert_eq!((entry.priority, entry.identifier.as_deref(), entry.message), (13, Some("cftag"), &b"hello there"[..]));
    let entry = syslog(b"<14>1 2026-11-23T12:00:00+00:00 host tag 12 - [a b=\"c\"] hello");
    assert_eq!(
        (entry.identifier.as_deref(), entry.pid.as_deref(), entry.message),
        (Some("tag"), Some("12"), &b"hello"[..])
    );
    assert_eq!(syslog(b"plain text").message, b"plain text");
}

#[test]
fn native_entries() {
    let datagram = b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=3\n";
    assert_eq!(native(datagram), [("MESSAGE".into(), b"a\nb".to_vec()), ("PRIORITY".into(), b"3".to_vec())]);
}

proptest! {
    #[test]
    fn no_datagram_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = syslog(&bytes).message;
        let _ = native(&bytes);
    }
}
