"""What the kernels use of OpenSSL 3, of the system. All of it may be called without the GIL."""

from libc.stdint cimport uint8_t, uint64_t

cdef extern from "<openssl/crypto.h>" nogil:
    ctypedef struct CRYPTO_EX_DATA:
        pass
    void OPENSSL_cleanse(void *at, size_t size)

cdef extern from "<openssl/bio.h>" nogil:
    ctypedef struct BIO:
        pass
    BIO *BIO_new_mem_buf(const void *at, int size)
    int BIO_free(BIO *bio)

cdef extern from "<openssl/err.h>" nogil:
    unsigned long ERR_get_error()
    unsigned long ERR_peek_last_error()
    void ERR_clear_error()
    const char *ERR_reason_error_string(unsigned long error)
    int ERR_GET_REASON(unsigned long error)
    int ERR_GET_LIB(unsigned long error)
    enum: ERR_LIB_PEM

cdef extern from "<openssl/params.h>" nogil:
    ctypedef struct OSSL_PARAM:
        pass
    OSSL_PARAM OSSL_PARAM_construct_utf8_string(const char *key, char *at, size_t size)
    OSSL_PARAM OSSL_PARAM_construct_octet_string(const char *key, void *at, size_t size)
    OSSL_PARAM OSSL_PARAM_construct_end()

cdef extern from "<openssl/evp.h>" nogil:
    ctypedef struct EVP_PKEY:
        pass
    ctypedef struct EVP_CIPHER:
        pass
    ctypedef struct EVP_CIPHER_CTX:
        pass
    ctypedef struct EVP_MAC_CTX:
        pass
    ctypedef struct EVP_MD:
        pass
    EVP_CIPHER *EVP_CIPHER_fetch(void *context, const char *name, const char *properties)
    EVP_MD *EVP_MD_fetch(void *context, const char *name, const char *properties)
    int EVP_EncryptInit_ex2(EVP_CIPHER_CTX *context, const EVP_CIPHER *cipher, const unsigned char *key, const unsigned char *iv, void *params)
    int EVP_DecryptInit_ex2(EVP_CIPHER_CTX *context, const EVP_CIPHER *cipher, const unsigned char *key, const unsigned char *iv, void *params)
    int EVP_MAC_CTX_set_params(EVP_MAC_CTX *context, const OSSL_PARAM *params)
    void EVP_PKEY_free(EVP_PKEY *key)

cdef extern from "<openssl/rand.h>" nogil:
    int RAND_bytes(unsigned char *at, int size)

cdef extern from "<openssl/x509v3.h>" nogil:
    ctypedef struct X509:
        pass
    ctypedef struct X509_CRL:
        pass
    ctypedef struct X509_NAME:
        pass
    ctypedef struct X509_STORE:
        pass
    ctypedef struct X509_NAMES "STACK_OF(X509_NAME)":
        pass
    enum: X509_V_FLAG_CRL_CHECK
    void X509_free(X509 *certificate)
    void X509_CRL_free(X509_CRL *crl)
    int X509_up_ref(X509 *certificate)
    int X509_check_host(X509 *certificate, const char *name, size_t size, unsigned int flags, char **peer)
    int X509_digest(const X509 *certificate, const EVP_MD *digest, unsigned char *out, unsigned int *size)
    X509_NAME *X509_get_subject_name(const X509 *certificate)
    X509_NAME *X509_NAME_dup(const X509_NAME *name)
    int X509_STORE_add_cert(X509_STORE *store, X509 *certificate)
    int X509_STORE_add_crl(X509_STORE *store, X509_CRL *crl)
    int X509_STORE_set_flags(X509_STORE *store, unsigned long flags)
    X509_NAMES *sk_X509_NAME_new_null()
    int sk_X509_NAME_push(X509_NAMES *names, X509_NAME *name)

cdef extern from "<openssl/pem.h>" nogil:
    enum: PEM_R_NO_START_LINE
    ctypedef int (*pem_password_cb)(char *out, int size, int writing, void *given) noexcept nogil
    X509 *PEM_read_bio_X509(BIO *bio, X509 **out, pem_password_cb password, void *given)
    X509_CRL *PEM_read_bio_X509_CRL(BIO *bio, X509_CRL **out, pem_password_cb password, void *given)
    EVP_PKEY *PEM_read_bio_PrivateKey(BIO *bio, EVP_PKEY **out, pem_password_cb password, void *given)

cdef extern from "<openssl/ssl.h>" nogil:
    ctypedef struct SSL:
        pass
    ctypedef struct SSL_CTX:
        pass
    ctypedef struct SSL_METHOD:
        pass
    enum:
        TLS1_2_VERSION
        TLS1_3_VERSION
        SSL_OP_NO_COMPRESSION
        SSL_OP_NO_RENEGOTIATION
        SSL_OP_NO_TICKET
        SSL_OP_IGNORE_UNEXPECTED_EOF
        SSL_OP_CIPHER_SERVER_PREFERENCE
        SSL_OP_PRIORITIZE_CHACHA
        SSL_MODE_ENABLE_PARTIAL_WRITE
        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
        SSL_MODE_RELEASE_BUFFERS
        SSL_MODE_AUTO_RETRY
        SSL_SESS_CACHE_OFF
        SSL_VERIFY_NONE
        SSL_VERIFY_PEER
        SSL_VERIFY_FAIL_IF_NO_PEER_CERT
        SSL_TLSEXT_ERR_OK
        SSL_TLSEXT_ERR_NOACK
        SSL_TLSEXT_ERR_ALERT_FATAL
        TLSEXT_NAMETYPE_host_name
        SSL_ERROR_NONE
        SSL_ERROR_SSL
        SSL_ERROR_WANT_READ
        SSL_ERROR_WANT_WRITE
        SSL_ERROR_SYSCALL
        SSL_ERROR_ZERO_RETURN
        SSL_R_NO_APPLICATION_PROTOCOL
    ctypedef int (*servername_cb)(SSL *ssl, int *alert, void *given) noexcept nogil
    ctypedef int (*alpn_cb)(
        SSL *ssl, const unsigned char **out, unsigned char *out_size, const unsigned char *offered, unsigned int size, void *given
    ) noexcept nogil
    ctypedef int (*ticket_cb)(
        SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt
    ) noexcept nogil
    ctypedef int (*verify_cb)(int ok, void *store) noexcept nogil

    const SSL_METHOD *TLS_server_method()
    SSL_CTX *SSL_CTX_new(const SSL_METHOD *method)
    int SSL_CTX_up_ref(SSL_CTX *context)
    void SSL_CTX_free(SSL_CTX *context)
    int SSL_CTX_set_min_proto_version(SSL_CTX *context, int version)
    uint64_t SSL_CTX_set_options(SSL_CTX *context, uint64_t options)
    long SSL_CTX_set_mode(SSL_CTX *context, long mode)
    long SSL_CTX_clear_mode(SSL_CTX *context, long mode)
    int SSL_CTX_set_cipher_list(SSL_CTX *context, const char *text)
    int SSL_CTX_set_ciphersuites(SSL_CTX *context, const char *text)
    int SSL_CTX_set1_groups_list(SSL_CTX *context, const char *text)
    int SSL_CTX_set1_sigalgs_list(SSL_CTX *context, const char *text)
    int SSL_CTX_set_num_tickets(SSL_CTX *context, size_t count)
    long SSL_CTX_set_session_cache_mode(SSL_CTX *context, long mode)
    int SSL_CTX_set_session_id_context(SSL_CTX *context, const unsigned char *at, unsigned int size)
    long SSL_CTX_set_timeout(SSL_CTX *context, long seconds)
    void SSL_CTX_set_read_ahead(SSL_CTX *context, int yes)
    int SSL_CTX_use_certificate(SSL_CTX *context, X509 *certificate)
    int SSL_CTX_add1_chain_cert(SSL_CTX *context, X509 *certificate)
    int SSL_CTX_use_PrivateKey(SSL_CTX *context, EVP_PKEY *key)
    int SSL_CTX_check_private_key(const SSL_CTX *context)
    void SSL_CTX_set_verify(SSL_CTX *context, int mode, verify_cb check)
    X509_STORE *SSL_CTX_get_cert_store(const SSL_CTX *context)
    X509 *SSL_CTX_get0_certificate(const SSL_CTX *context)
    void SSL_CTX_set_client_CA_list(SSL_CTX *context, X509_NAMES *names)
    int SSL_CTX_set_tlsext_servername_callback(SSL_CTX *context, servername_cb callback)
    int SSL_CTX_set_tlsext_servername_arg(SSL_CTX *context, void *given)
    void SSL_CTX_set_alpn_select_cb(SSL_CTX *context, alpn_cb callback, void *given)
    int SSL_CTX_set_tlsext_ticket_key_evp_cb(SSL_CTX *context, ticket_cb callback)
    int SSL_CTX_get_ex_new_index(long argl, void *argp, void *new, void *dup, void *free)
    int SSL_CTX_set_ex_data(SSL_CTX *context, int index, void *data)
    void *SSL_CTX_get_ex_data(const SSL_CTX *context, int index)

    enum: SSL3_RT_HANDSHAKE
    ctypedef void (*message_cb)(
        int written, int version, int kind, const void *at, size_t size, SSL *ssl, void *given
    ) noexcept nogil
    void SSL_CTX_set_msg_callback(SSL_CTX *context, message_cb callback)
    void SSL_set_msg_callback_arg(SSL *ssl, void *given)

    SSL *SSL_new(SSL_CTX *context)
    void SSL_free(SSL *ssl)
    int SSL_set_fd(SSL *ssl, int fd)
    void SSL_set_accept_state(SSL *ssl)
    SSL_CTX *SSL_set_SSL_CTX(SSL *ssl, SSL_CTX *context)
    SSL_CTX *SSL_get_SSL_CTX(const SSL *ssl)
    int SSL_do_handshake(SSL *ssl)
    int SSL_read(SSL *ssl, void *at, int size)
    int SSL_write(SSL *ssl, const void *at, int size)
    int SSL_shutdown(SSL *ssl)
    int SSL_get_error(const SSL *ssl, int result)
    int SSL_has_pending(const SSL *ssl)
    int SSL_is_init_finished(const SSL *ssl)
    size_t SSL_get_finished(const SSL *ssl, void *out, size_t size)
    const char *SSL_get_servername(const SSL *ssl, int kind)
    X509 *SSL_get0_peer_certificate(const SSL *ssl)
    void SSL_get0_alpn_selected(const SSL *ssl, const unsigned char **at, unsigned int *size)
    int SSL_version(const SSL *ssl)
    int SSL_get_verify_mode(const SSL *ssl)
    int SSL_session_reused(const SSL *ssl)

cdef extern from "<openssl/core_names.h>" nogil:
    const char *OSSL_MAC_PARAM_KEY
    const char *OSSL_MAC_PARAM_DIGEST
