//! The records inside other records.

use ox_jute::records;

records! {
    /// What a client sees of a znode besides its data.
    Stat {
        czxid: i64,
        mzxid: i64,
        ctime: i64,
        mtime: i64,
        version: i32,
        cversion: i32,
        aversion: i32,
        ephemeral_owner: i64,
        data_length: i32,
        num_children: i32,
        pzxid: i64,
    }

    /// What is stored of a znode besides its data: `cversion` counts the children ever created,
    /// and `ephemeral_owner` also tells containers and TTL nodes (storage.md 10.2).
    StatPersisted {
        czxid: i64,
        mzxid: i64,
        ctime: i64,
        mtime: i64,
        version: i32,
        cversion: i32,
        aversion: i32,
        ephemeral_owner: i64,
        pzxid: i64,
    }

    /// Somebody, in the words of an authentication scheme.
    Id { scheme: String, id: String }

    /// Grants the operations in `perms` (read 1, write 2, create 4, delete 8, admin 16) to `id`.
    Acl { perms: i32, id: Id }

    /// An acl entry as a client sends it: not checked, its strings possibly null.
    RawAcl { perms: i32, scheme: Option<String>, id: Option<String> }

    /// An identity of a connection, as whoAmI tells it.
    ClientInfo { auth_scheme: String, user: String }
}

impl Id {
    /// The identity `id` of `scheme`.
    pub fn new(scheme: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            scheme: scheme.into(),
            id: id.into(),
        }
    }
}

impl Acl {
    /// Read.
    pub const READ: i32 = 1;
    /// Set the data.
    pub const WRITE: i32 = 2;
    /// Create a child.
    pub const CREATE: i32 = 4;
    /// Delete a child.
    pub const DELETE: i32 = 8;
    /// Set the acl.
    pub const ADMIN: i32 = 16;
    /// All of these.
    pub const ALL: i32 = 31;

    /// `perms` for everybody.
    pub fn world(perms: i32) -> Self {
        Self {
            perms,
            id: Id::new("world", "anyone"),
        }
    }
}

impl From<Acl> for RawAcl {
    fn from(acl: Acl) -> Self {
        Self {
            perms: acl.perms,
            scheme: Some(acl.id.scheme),
            id: Some(acl.id.id),
        }
    }
}
