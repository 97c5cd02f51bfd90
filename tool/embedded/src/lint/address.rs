//! What asyn's drivers take as the address of a device.

/// Protocols that drvAsynIPPort.c knows, in any case.
const PROTOCOLS: [&str; 8] = ["tcp", "tcp&", "com", "http", "udp", "udp&", "udp*", "udp*&"];

/// Bytes of the longest path that a Unix socket can have for asyn.
const LONGEST_PATH: usize = 106;

/// Why `drvAsynIPPortConfigure` opens no port with an address, or one that leads nowhere (`parseHostInfo` of drvAsynIPPort.c).
pub fn refusal(address: &str) -> Option<String> {
    if let Some(path) = address.strip_prefix("unix://") {
        let fits = (1..=LONGEST_PATH).contains(&path.len());
        return (!fits)
            .then(|| format!("the path of a Unix socket has 1 to {LONGEST_PATH} bytes, this one {}", path.len()));
    }
    let form = || Some(format!("`{address}` is not HOST:PORT"));
    let Some((_, rest)) = address.split_once(':').filter(|(host, _)| !host.is_empty()) else { return form() };
    let Some(port) = number(rest) else { return form() };
    if rest.split_once(':').is_some_and(|(_, local)| number(local).is_none()) {
        return form();
    }
    let protocol: String = rest.split_once(' ').map_or("", |(_, own)| own.trim_start()).chars().take(5).collect();
    let protocol = protocol.split_ascii_whitespace().next().unwrap_or_default();
    if !protocol.is_empty() && !PROTOCOLS.contains(&protocol.to_ascii_lowercase().as_str()) {
        return Some(format!("asyn knows no protocol `{protocol}`"));
    }
    u16::try_from(port).is_err().then(|| format!("{port} is no port of TCP or UDP"))
}

/// The number that a text starts with, as `%d` of C reads it.
fn number(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let value: i64 = digits[..end].parse().unwrap_or(i64::MAX);
    (end > 0).then_some(if text.starts_with('-') { -value } else { value })
}

/// Whether iocsh takes a word as an integer (`strtol` or `strtoul` with base 0, and nothing behind it).
pub fn is_number(word: &str) -> bool {
    let word = word.trim_start();
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    let (digits, base) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    !digits.starts_with(['-', '+']) && u64::from_str_radix(digits, base).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_that_asyn_takes() {
        for good in [
            "localhost:9999",
            "host:23:4000",
            "host:23 TCP",
            "host:23:4000 udp*&",
            "host:23tcp",
            "host:23  Com",
            "host:23 tcp&  more",
            "unix:///tmp/x",
        ] {
            assert_eq!(refusal(good), None, "{good}");
        }
        let long = format!("unix://{}", "x".repeat(107));
        for bad in [
            "",
            "host",
            "host:",
            "host:abc",
            ":9999",
            "host: 23",
            "host:23:",
            "[::1]:23",
            "host:23 UDPX",
            "host:23 tcpip",
            "unix://",
            &long,
        ] {
            assert!(refusal(bad).is_some(), "{bad}");
        }
        assert!(["0", "-1", "+7", "0x1F", "017", "18446744073709551615"].into_iter().all(is_number));
        assert!(!["", "x", "1x", "08", "0x", "1.5", "--1", "18446744073709551616"].into_iter().any(is_number));
        // asyn would take them modulo 65536.
        assert!(refusal("host:99999").is_some() && refusal("host:-1").is_some());
    }
}
