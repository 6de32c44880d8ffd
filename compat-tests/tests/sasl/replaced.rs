//! Right responses of which one part is replaced by something unusual.
//!
//! What Java takes, and how it ends for what it does not take, is in no document: the comparison with
//! Apache ZooKeeper says it.

/// What it is, the part, and what stands in its place.
pub(super) const REPLACED: &[(&str, &str, &str)] = &[
    // Values.
    ("empty user, all else right", "\"bob\",realm", "\"\",realm"),
    ("user in capitals", "\"bob\",realm", "\"BOB\",realm"),
    ("user and a blank", "\"bob\",realm", "\"bob \",realm"),
    ("user and a zero", "\"bob\",realm", "\"bob\0\",realm"),
    (
        "user of a Kerberos realm",
        "\"bob\",realm",
        "\"bob@REALM\",realm",
    ),
    ("empty realm", "\"zk-sasl-md5\"", "\"\""),
    ("empty cnonce", ",cnonce=\"", ",cnonce=\"\",c=\""),
    ("empty nonce", ",nonce=\"", ",nonce=\"\",n=\""),
    ("empty uri", "\"zookeeper/zk-sasl-md5\"", "\"\""),
    (
        "uri in capitals",
        "\"zookeeper/zk-sasl-md5\"",
        "\"ZOOKEEPER/ZK-SASL-MD5\"",
    ),
    (
        "uri of three parts",
        "\"zookeeper/zk-sasl-md5\"",
        "\"zookeeper/zk-sasl-md5/zk-sasl-md5\"",
    ),
    (
        "uri without a host",
        "\"zookeeper/zk-sasl-md5\"",
        "\"zookeeper\"",
    ),
    ("empty protection", "qop=auth", "qop=\"\""),
    ("protection in capitals", "qop=auth", "qop=AUTH"),
    ("protection in quotes", "qop=auth", "qop=\"auth\""),
    ("charset in capitals", "charset=utf-8", "charset=UTF-8"),
    ("short count", "nc=00000001", "nc=1"),
    (
        "Java's count",
        "nc=00000001",
        "nc=00000001,nonce-count=00000001",
    ),
    (
        "Java's count with a sign",
        "nc=00000001",
        "nc=00000001,nonce-count=+1",
    ),
    (
        "Java's count, empty",
        "nc=00000001",
        "nc=00000001,nonce-count=\"\"",
    ),
    ("no buffer at all", "maxbuf=65536,", ""),
    ("buffer of nothing", "maxbuf=65536", "maxbuf=0"),
    ("buffer with a sign", "maxbuf=65536", "maxbuf=+1"),
    ("buffer of 2 GiB", "maxbuf=65536", "maxbuf=2147483648"),
    ("empty buffer", "maxbuf=65536", "maxbuf=\"\""),
    ("empty response value", "response=", "response=\"\",r="),
    ("longer response value", ",qop=auth", "0,qop=auth"),
    ("empty claim", "authzid=\"bob\"", "authzid=\"\""),
    // Directives that are not needed.
    ("a cipher", ",qop=auth", ",qop=auth,cipher=rc4"),
    ("an algorithm", ",qop=auth", ",qop=auth,algorithm=md5-sess"),
    ("another algorithm", ",qop=auth", ",qop=auth,algorithm=sha"),
    // Twice.
    (
        "two realms that are one",
        "realm=\"zk-sasl-md5\"",
        "realm=\"zk-sasl-md5\",realm=\"zk-sasl-md5\"",
    ),
    (
        "two realms",
        "realm=\"zk-sasl-md5\"",
        "realm=\"zk-sasl-md5\",realm=\"other\"",
    ),
    ("two nonces", ",nonce=\"", ",nonce=\"a\",nonce=\""),
    ("two cnonces", ",cnonce=\"", ",cnonce=\"a\",cnonce=\""),
    (
        "two of Java's counts",
        "nc=00000001",
        "nc=00000001,nonce-count=1,nonce-count=1",
    ),
    ("two protections", "qop=auth", "qop=auth,qop=auth"),
    (
        "two charsets",
        "charset=utf-8",
        "charset=utf-8,charset=utf-8",
    ),
    ("two buffers", "maxbuf=65536", "maxbuf=65536,maxbuf=65536"),
    (
        "two uris",
        "digest-uri=\"",
        "digest-uri=\"a\",digest-uri=\"",
    ),
    ("two responses", "response=", "response=0,response="),
    (
        "two claims",
        "authzid=\"bob\"",
        "authzid=\"bob\",authzid=\"bob\"",
    ),
    (
        "two ciphers",
        ",qop=auth",
        ",qop=auth,cipher=rc4,cipher=des",
    ),
    (
        "two algorithms",
        ",qop=auth",
        ",qop=auth,algorithm=a,algorithm=b",
    ),
    // Between them.
    ("key at the end", "authzid=\"bob\"", "authzid=\"bob\",y"),
    (
        "key and = at the end",
        "authzid=\"bob\"",
        "authzid=\"bob\",y=",
    ),
    (
        "key and a blank at the end",
        "authzid=\"bob\"",
        "authzid=\"bob\",y ",
    ),
    ("comma at the end", "authzid=\"bob\"", "authzid=\"bob\","),
    ("zero at the end", "authzid=\"bob\"", "authzid=\"bob\"\0"),
    ("commas in front", "charset=utf-8", ",, ,charset=utf-8"),
    ("blanks instead of commas", ",", " "),
];
