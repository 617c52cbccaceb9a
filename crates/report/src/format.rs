//! The one list of formats a page can be rendered to.

use crate::Page;

/// A way to render a [`Page`] as text.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Name on the command line.
    pub id: &'static str,
    /// File extension without the dot.
    pub extension: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Renders the page.
    pub render: fn(&Page) -> String,
}

macro_rules! formats {
    ($($name:ident . $extension:ident $about:literal => $render:expr),+ $(,)?) => {
        /// Every format, in the order of the list.
        pub const FORMATS: &[Format] = &[$(Format {
            id: stringify!($name), extension: stringify!($extension), about: $about, render: $render,
        }),+];
    };
}

formats! {
    html . html "one self-contained page with figures" => crate::html,
    markdown . md "the verdict and short tables as text" => crate::markdown,
    csv . csv "every record as comma separated values" => |page| crate::csv(&page.records),
}

/// The format of that name or file extension.
pub fn find_format(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|f| f.id == name || f.extension == name)
}
