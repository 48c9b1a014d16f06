//! What the sockets of this process have done.
