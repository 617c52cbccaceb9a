//! Facade: read, tokenise, run, tap, evaluate, render, resume.
