//! One whole server without sockets or disk.
