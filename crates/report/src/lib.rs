//! Records to HTML, Markdown and CSV. Computes nothing.
