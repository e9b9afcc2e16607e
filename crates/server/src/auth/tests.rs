//! The service behind authentication, and what it does wrong.
