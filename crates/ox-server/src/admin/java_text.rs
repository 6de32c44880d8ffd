//! How Java writes what Rust writes otherwise: fractions, dates, addresses.

use std::net::SocketAddr;

use chrono::{Offset, TimeZone};

/// `Double.toString`.
pub(super) fn double(value: f64) -> String {
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        return format!("{value:?}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

/// The average of `count` values as ZooKeeper tells it: rounded to four decimals.
pub(super) fn average(sum: u64, count: u64) -> String {
    let (sum, count) = (u128::from(sum), u128::from(count));
    match (sum * 10_000 + count / 2).checked_div(count) {
        Some(ten_thousandths) => double(ten_thousandths as f64 / 10_000.0),
        None => double(0.0),
    }
}

/// `Date.toString` of a time in milliseconds since 1970. A zone other than UTC goes by its offset.
pub(super) fn date<Z: TimeZone>(epoch_ms: i64, zone: &Z) -> String {
    // Java's text ends well with the year 9999, and so does what can be a deadline.
    const LAST_MS: i64 = 253_402_300_799_999;
    let utc = chrono::DateTime::from_timestamp_millis(epoch_ms.clamp(0, LAST_MS));
    let local = utc.expect("within chrono's range").with_timezone(zone);
    let offset = local.offset().fix();
    let local = local.naive_local();
    let zone = match offset.local_minus_utc() {
        0 => "UTC".to_owned(),
        _ => format!("GMT{offset}"),
    };
    format!(
        "{} {zone} {}",
        local.format("%a %b %d %H:%M:%S"),
        local.format("%Y")
    )
}

/// `InetSocketAddress.toString` of an address that nobody looked the name up for.
pub(super) fn address(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => format!("/{address}"),
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(ip) => format!("/{ip}:{}", v6.port()),
            None => {
                let groups = v6.ip().segments().map(|group| format!("{group:x}"));
                format!("/[{}]:{}", groups.join(":"), v6.port())
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use chrono::{FixedOffset, Utc};

    use super::*;

    #[test]
    fn fractions_are_written_as_java_does() {
        for (value, text) in [
            (0.0, "0.0"),
            (2.0, "2.0"),
            (1.8768, "1.8768"),
            (0.001, "0.001"),
            (0.0005, "5.0E-4"),
            (0.00015, "1.5E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (12_345_678.5, "1.23456785E7"),
        ] {
            assert_eq!(double(value), text);
        }
    }

    #[test]
    fn averages_have_at_most_four_decimals_and_at_least_one() {
        for (sum, count, text) in [
            (0, 0, "0.0"),
            (0, 5, "0.0"),
            (43, 55, "0.7818"),
            (35, 27, "1.2963"),
            (1, 55, "0.0182"),
            (6, 3, "2.0"),
            (1, 8, "0.125"),
            (2, 3, "0.6667"),
            (1, 10_000, "1.0E-4"),
            (u64::MAX, 1, "1.8446744073709552E19"),
        ] {
            assert_eq!(average(sum, count), text, "{sum}/{count}");
        }
    }

    #[test]
    fn dates_are_those_of_java() {
        assert_eq!(
            date(1_795_341_275_000, &Utc),
            "Sun Nov 22 09:54:35 UTC 2026"
        );
        assert_eq!(date(1_000, &Utc), "Thu Jan 01 00:00:01 UTC 1970");
        let zone = |minutes: i32| FixedOffset::east_opt(minutes * 60).unwrap();
        let text = date(1_795_341_275_000, &zone(330));
        assert_eq!(text, "Sun Nov 22 15:24:35 GMT+05:30 2026");
        let text = date(1_795_341_275_000, &zone(-600));
        assert_eq!(text, "Sat Nov 21 23:54:35 GMT-10:00 2026");
        assert_eq!(date(i64::MAX, &Utc), "Fri Dec 31 23:59:59 UTC 9999");
        assert_eq!(date(i64::MIN, &Utc), "Thu Jan 01 00:00:00 UTC 1970");
    }

    #[test]
    fn addresses_are_those_of_java() {
        for (ours, javas) in [
            ("127.0.0.1:2181", "/127.0.0.1:2181"),
            ("[::1]:2181", "/[0:0:0:0:0:0:0:1]:2181"),
            ("[2001:db8::ff]:1", "/[2001:db8:0:0:0:0:0:ff]:1"),
            ("[::ffff:10.0.0.7]:2181", "/10.0.0.7:2181"),
        ] {
            assert_eq!(address(ours.parse().unwrap()), javas);
        }
    }
}
