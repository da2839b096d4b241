"""Certificates, keys, authorities and lists of revoked certificates, from PEM. All raise `ValueError` for what cannot be used."""

from pdns.fast.openssl cimport SSL_CTX

cdef str last_reason()  # of the last error in OpenSSL's queue, which is empty then
cdef int use_pair(SSL_CTX *context, bytes chain, bytes key) except -1
cdef int trust(SSL_CTX *context, bytes authorities, bytes crls) except -1  # for certificates of clients
