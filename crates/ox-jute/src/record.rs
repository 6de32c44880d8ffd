//! One declaration per record.

/// Declares records: the struct, its [`Jute`](crate::Jute) codec and the table of its fields.
///
/// Field order is wire order.
///
/// ```
/// ox_jute::records! {
///     /// Reads a znode's data and stat; `watch` leaves a one-shot data watch behind.
///     GetDataRequest { path: String, watch: bool }
/// }
/// assert_eq!(GetDataRequest::FIELDS, [("path", "ustring"), ("watch", "boolean")]);
/// ```
#[macro_export]
macro_rules! records {
    ($($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name {
            $(#[doc = concat!("`", stringify!($field), "` of the record.")] pub $field: $type,)*
        }

        impl $name {
            /// Names and jute types of the fields, in wire order.
            pub const FIELDS: &'static [(&'static str, &'static str)] =
                &[$((stringify!($field), <$type as $crate::Jute>::NAME)),*];
        }

        impl $crate::Jute for $name {
            const NAME: &'static str = stringify!($name);

            fn encode(&self, out: &mut Vec<u8>) {
                let _ = &out;
                $($crate::Jute::encode(&self.$field, out);)*
            }

            fn decode(input: &mut $crate::Decoder<'_>) -> Result<Self, $crate::DecodeError> {
                let _ = &input;
                Ok(Self { $($field: $crate::Jute::decode(input)?,)* })
            }
        }
    )*};
}
