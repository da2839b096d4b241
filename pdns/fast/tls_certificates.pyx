"""Certificates and keys of a TLS context. `tls_certificates.pxd` has the contract."""

# specification: pdns/reference/tls_profile.py:server_context

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from pdns.fast.openssl cimport *


cdef int _no_password(char *out, int size, int writing, void *given) noexcept nogil:
    return 0  # else OpenSSL asks at the terminal


cdef str last_reason():
    cdef const char *text = ERR_reason_error_string(ERR_peek_last_error())
    ERR_clear_error()
    return "unknown error" if text == NULL else text.decode("ascii", "replace")


cdef BIO *bytes_of(bytes pem) except NULL:
    cdef BIO *bio = BIO_new_mem_buf(PyBytes_AS_STRING(pem), <int>PyBytes_GET_SIZE(pem))
    if bio == NULL:
        raise MemoryError
    return bio


cdef int use_pair(SSL_CTX *context, bytes chain, bytes key) except -1:
    cdef BIO *bio = bytes_of(chain)
    cdef X509 *certificate
    cdef EVP_PKEY *private_key
    cdef bint fine = True
    cdef int count = 0
    ERR_clear_error()
    while fine:
        certificate = PEM_read_bio_X509(bio, NULL, _no_password, NULL)
        if certificate == NULL:
            break
        if count == 0:
            fine = SSL_CTX_use_certificate(context, certificate) == 1
        else:
            fine = SSL_CTX_add1_chain_cert(context, certificate) == 1
        count += 1
        X509_free(certificate)
    BIO_free(bio)
    if not fine or count == 0:
        raise ValueError(f"the certificate cannot be used: {last_reason()}")
    ERR_clear_error()
    bio = bytes_of(key)
    private_key = PEM_read_bio_PrivateKey(bio, NULL, _no_password, NULL)
    BIO_free(bio)
    if private_key == NULL:
        raise ValueError(f"the key cannot be used: {last_reason()}")
    fine = SSL_CTX_use_PrivateKey(context, private_key) == 1 and SSL_CTX_check_private_key(context) == 1
    EVP_PKEY_free(private_key)
    if not fine:
        raise ValueError(f"the key does not belong to the certificate: {last_reason()}")
    return 0


cdef int trust(SSL_CTX *context, bytes authorities, bytes crls) except -1:
    """Clients show certificates of `authorities`; those revoked by one of `crls` are refused."""
    cdef X509_STORE *store = SSL_CTX_get_cert_store(context)
    cdef X509_NAMES *names = sk_X509_NAME_new_null()
    cdef BIO *bio = bytes_of(authorities)
    cdef X509 *authority
    cdef X509_CRL *crl
    cdef int count = 0
    while True:
        authority = PEM_read_bio_X509(bio, NULL, _no_password, NULL)
        if authority == NULL:
            break
        X509_STORE_add_cert(store, authority)
        sk_X509_NAME_push(names, X509_NAME_dup(X509_get_subject_name(authority)))
        X509_free(authority)
        count += 1
    BIO_free(bio)
    SSL_CTX_set_client_CA_list(context, names)
    ERR_clear_error()
    if count == 0:
        raise ValueError("there is no authority for client certificates")
    if not crls:
        return 0
    count = 0
    bio = bytes_of(crls)
    while True:
        crl = PEM_read_bio_X509_CRL(bio, NULL, _no_password, NULL)
        if crl == NULL:
            break
        X509_STORE_add_crl(store, crl)
        X509_CRL_free(crl)
        count += 1
    BIO_free(bio)
    ERR_clear_error()
    if count == 0:
        raise ValueError("there is no list of revoked certificates in what was given for one")
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK)
    return 0
