use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

#[test]
fn names_are_written_as_java_writes_them() {
    let golden = include_str!("../../tests/golden/names.txt");
    let mut count = 0;
    for line in golden.lines() {
        let (der, expected) = line.split_once(' ').unwrap();
        let (der, expected) = (bytes(der), String::from_utf8(bytes(expected)).unwrap());
        let (_, name) = X509Name::from_der(&der).unwrap();
        assert_eq!(text(&name), expected, "{line}");
        count += 1;
    }
    assert_eq!(count, 38);
}
