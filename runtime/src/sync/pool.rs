//! `Pool`: a cache of objects, one part for each P.
