"""TLS to clients. `tls.pxd` has the contract."""

# specification: pdns/reference/tls_profile.py:server_context

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, strlen

from pdns.fast.openssl cimport *
from pdns.fast.tls_certificates cimport last_reason, trust, use_pair

cdef enum:
    MOST_CERTIFICATES = 64
    MOST_TICKET_KEYS = 8
    NAME_BYTES = 16
    KEY_BYTES = 32
    TICKET_KEY_BYTES = 80  # name, HMAC key, AES-256 key
    IV_BYTES = 16
    LIFETIME_S = 7200  # of a ticket
    ALERT_UNRECOGNIZED_NAME = 112

cdef const char *_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
cdef const char *_SUITES = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
cdef const char *_GROUPS = b"X25519:P-256"
cdef const char *_SIGNATURES = (
    b"ECDSA+SHA256:ed25519:rsa_pss_rsae_sha256:ECDSA+SHA384:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:RSA+SHA256:RSA+SHA384:RSA+SHA512"
)


cdef struct Tables:  # what callbacks look at; lives as long as the context that connections begin with
    int certificates
    SSL_CTX *contexts[MOST_CERTIFICATES]  # the first is that context itself, not counted here
    int ticket_keys
    uint8_t tickets[MOST_TICKET_KEYS][TICKET_KEY_BYTES]  # newest first
    bint https


cdef void _free_tables(void *parent, void *tables, CRYPTO_EX_DATA *data, int index, long argl, void *argp) noexcept nogil:
    cdef Tables *given = <Tables *>tables
    cdef int at
    if given == NULL or given.contexts[0] != parent:
        return
    for at in range(1, given.certificates):
        SSL_CTX_set_ex_data(given.contexts[at], _tables_at, NULL)  # the last connection frees the first context before its own
        SSL_CTX_free(given.contexts[at])
    OPENSSL_cleanse(given, sizeof(Tables))
    free(given)


cdef int _tables_at = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, <void *>_free_tables)
cdef EVP_CIPHER *_ticket_cipher = EVP_CIPHER_fetch(NULL, b"AES-256-CBC", NULL)
cdef EVP_MD *_sha256 = EVP_MD_fetch(NULL, b"SHA256", NULL)
if _tables_at < 0 or _ticket_cipher == NULL or _sha256 == NULL:
    raise ImportError("OpenSSL has no AES-256-CBC or no SHA-256")


# ---- what OpenSSL asks during a handshake

cdef int _choose_certificate(SSL *ssl, int *alert, void *given) noexcept nogil:
    """The certificate that carries the name asked for; the first one without such a name, and where none does."""
    cdef Tables *tables = <Tables *>given
    cdef const char *name
    cdef int at
    if tables.certificates > 1:
        name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)
        if name == NULL:
            return SSL_TLSEXT_ERR_NOACK
        for at in range(tables.certificates):
            if X509_check_host(SSL_CTX_get0_certificate(tables.contexts[at]), name, strlen(name), 0, NULL) == 1:
                if at:
                    SSL_set_SSL_CTX(ssl, tables.contexts[at])
                break
    return SSL_TLSEXT_ERR_OK


cdef int _choose_protocol(
    SSL *ssl, const unsigned char **out, unsigned char *out_size, const unsigned char *offered, unsigned int size, void *given
) noexcept nogil:
    """`dot`, or `h2` before `http/1.1`. A client that offers others only gets the alert no_application_protocol (RFC 7301, 3.2)."""
    cdef bint https = (<Tables *>given).https
    cdef const unsigned char *at = offered
    cdef const unsigned char *second = NULL
    cdef unsigned int left = size
    while left and left > at[0]:
        if (at[0] == 2 and memcmp(at + 1, b"h2", 2) == 0) if https else (at[0] == 3 and memcmp(at + 1, b"dot", 3) == 0):
            out[0], out_size[0] = at + 1, at[0]
            return SSL_TLSEXT_ERR_OK
        if https and at[0] == 8 and memcmp(at + 1, b"http/1.1", 8) == 0:
            second = at
        left -= 1 + at[0]
        at += 1 + at[0]
    if second != NULL:
        out[0], out_size[0] = second + 1, second[0]
        return SSL_TLSEXT_ERR_OK
    return SSL_TLSEXT_ERR_ALERT_FATAL


cdef int _ticket_key(
    SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt
) noexcept nogil:
    """1: with the newest key; 2: with an older one, so that the client gets a new ticket; 0: the key is unknown."""
    cdef Tables *tables = <Tables *>SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), _tables_at)
    cdef OSSL_PARAM params[3]
    cdef uint8_t *key
    cdef int at = 0
    if tables == NULL or tables.ticket_keys == 0:
        return 0
    if encrypt:
        memcpy(name, tables.tickets[0], NAME_BYTES)
        if RAND_bytes(iv, IV_BYTES) != 1:
            return -1
    else:
        while at < tables.ticket_keys and memcmp(name, tables.tickets[at], NAME_BYTES):
            at += 1
        if at == tables.ticket_keys:
            return 0
    key = tables.tickets[at] + NAME_BYTES
    params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key, KEY_BYTES)
    params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, <char *>b"SHA256", 0)
    params[2] = OSSL_PARAM_construct_end()
    if EVP_MAC_CTX_set_params(mac, params) != 1:
        return -1
    if encrypt:
        return 1 if EVP_EncryptInit_ex2(cipher, _ticket_cipher, key + KEY_BYTES, iv, NULL) == 1 else -1
    if EVP_DecryptInit_ex2(cipher, _ticket_cipher, key + KEY_BYTES, iv, NULL) != 1:
        return -1
    return 2 if at or SSL_version(ssl) == TLS1_3_VERSION else 1  # clients use a ticket of TLS 1.3 once (RFC 8446, C.4)


cdef void _count(int written, int version, int kind, const void *at, size_t size, SSL *ssl, void *given) noexcept nogil:
    """What a client sends besides data: each KeyUpdate costs as much as some queries."""
    if not written and kind == SSL3_RT_HANDSHAKE and given != NULL:
        (<int *>given)[0] += 1


# ---- contexts

cdef class TlsContext:
    """What a listener shows its clients. Connections that began with it keep it until they end."""

    def __init__(
        self, certificates not None, ticket_keys not None, *, bint https=False, str client_certificate not None="off",
        bytes client_ca not None=b"", bytes client_crl not None=b"",
    ):
        """`certificates`: pairs of a chain and its key as PEM, chosen by the name that a client asks for; else the first.
        `ticket_keys`: of 80 bytes each, newest first; without any, no session is resumed. Nor is one where client certificates are
        asked for (`client_certificate` is "optional" or "required"), so that a revoked one never comes back by a ticket.

        Raises `ValueError`.
        """
        cdef Tables *tables
        cdef bint resumes = bool(ticket_keys) and client_certificate == "off"
        if not 0 < len(certificates) <= MOST_CERTIFICATES:
            raise ValueError(f"{len(certificates)} certificates; a listener has 1 to {MOST_CERTIFICATES}")
        self.admission = (client_certificate, client_ca, client_crl)
        tables = <Tables *>calloc(1, sizeof(Tables))
        if tables == NULL:
            raise MemoryError
        tables.https = https
        for key in ticket_keys[:MOST_TICKET_KEYS] if resumes else ():
            if len(key) != TICKET_KEY_BYTES:
                free(tables)
                raise ValueError("a ticket key of a wrong size")
            memcpy(tables.tickets[tables.ticket_keys], <const uint8_t *>PyBytes_AS_STRING(key), TICKET_KEY_BYTES)
            tables.ticket_keys += 1
        self._context = SSL_CTX_new(TLS_server_method())
        tables.contexts[0], tables.certificates = self._context, 1
        if self._context == NULL or SSL_CTX_set_ex_data(self._context, _tables_at, tables) != 1:
            free(tables)
            raise MemoryError
        set_up(self._context, tables, client_certificate, client_ca, client_crl)
        chain, key = certificates[0]
        use_pair(self._context, chain, key)
        for chain, key in certificates[1:]:
            add_pair(tables, chain, key, client_certificate, client_ca, client_crl)

    def __dealloc__(self):
        SSL_CTX_free(self._context)

    cdef SSL_CTX *lend(self) noexcept nogil:
        SSL_CTX_up_ref(self._context)
        return self._context


cdef int set_up(SSL_CTX *context, Tables *tables, str client_certificate, bytes client_ca, bytes client_crl) except -1:
    cdef bint fine
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION)
    SSL_CTX_set_options(
        context,
        SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA
        | SSL_OP_IGNORE_UNEXPECTED_EOF,  # many clients close without close_notify; messages have lengths, and cannot be cut
    )
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS)
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY)  # or a flood of KeyUpdate could be one endless call
    SSL_CTX_set_msg_callback(context, _count)
    SSL_CTX_set_read_ahead(context, 1)  # one system call for a record instead of two
    fine = (
        SSL_CTX_set_cipher_list(context, _CIPHERS) == 1
        and SSL_CTX_set_ciphersuites(context, _SUITES) == 1
        and SSL_CTX_set1_groups_list(context, _GROUPS) == 1
        and SSL_CTX_set1_sigalgs_list(context, _SIGNATURES) == 1
        and SSL_CTX_set_session_id_context(context, b"pdns", 4) == 1
    )
    if not fine:
        raise ValueError(f"OpenSSL: {last_reason()}")
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF)
    SSL_CTX_set_timeout(context, LIFETIME_S)
    if tables.ticket_keys:
        SSL_CTX_set_num_tickets(context, 1)
        SSL_CTX_set_tlsext_ticket_key_evp_cb(context, _ticket_key)
    else:
        SSL_CTX_set_num_tickets(context, 0)
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET)
    SSL_CTX_set_tlsext_servername_callback(context, _choose_certificate)
    SSL_CTX_set_tlsext_servername_arg(context, tables)
    SSL_CTX_set_alpn_select_cb(context, _choose_protocol, tables)
    if client_certificate != "off":
        trust(context, client_ca, client_crl)
        SSL_CTX_set_verify(
            context, SSL_VERIFY_PEER | (SSL_VERIFY_FAIL_IF_NO_PEER_CERT if client_certificate == "required" else 0), NULL
        )
    return 0


cdef int add_pair(Tables *tables, bytes chain, bytes key, str client_certificate, bytes client_ca, bytes client_crl) except -1:
    cdef SSL_CTX *context = SSL_CTX_new(TLS_server_method())
    if context == NULL:
        raise MemoryError
    tables.contexts[tables.certificates] = context
    tables.certificates += 1
    if SSL_CTX_set_ex_data(context, _tables_at, tables) != 1:
        raise MemoryError
    set_up(context, tables, client_certificate, client_ca, client_crl)
    return use_pair(context, chain, key)


# ---- sessions

cdef SSL *tls_new(SSL_CTX *context, int fd, int *heard) noexcept nogil:
    cdef SSL *ssl = SSL_new(context)
    SSL_CTX_free(context)
    if ssl != NULL:
        if SSL_set_fd(ssl, fd) != 1:
            SSL_free(ssl)
            ssl = NULL
        else:
            SSL_set_accept_state(ssl)
            SSL_set_msg_callback_arg(ssl, heard)
    ERR_clear_error()
    return ssl


cdef Progress tls_handshake(SSL *ssl, int *reason) noexcept nogil:
    cdef int result, error
    ERR_clear_error()
    reason[0] = 0
    result = SSL_do_handshake(ssl)
    if result == 1:
        return DONE
    error = SSL_get_error(ssl, result)
    if error == SSL_ERROR_WANT_READ:
        return WANTS_READ
    if error == SSL_ERROR_WANT_WRITE:
        return WANTS_WRITE
    if error == SSL_ERROR_SSL:
        reason[0] = ERR_GET_REASON(ERR_peek_last_error())
    ERR_clear_error()
    return FAILED


cdef bint tls_may_finish_here(SSL *ssl) noexcept nogil:
    """With TLS 1.3 keys are agreed on and signed before our Finished goes out; only a certificate of the client costs much after it.

    A ClientHello that came in parts, or that was answered with HelloRetryRequest, has cost nothing yet.
    """
    cdef uint8_t first
    return (
        SSL_version(ssl) == TLS1_3_VERSION
        and SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE
        and SSL_get_finished(ssl, &first, 1) > 0
    )


cdef inline int outcome_of(SSL *ssl, int result) noexcept nogil:
    cdef int error = SSL_get_error(ssl, result)
    ERR_clear_error()
    if error == SSL_ERROR_WANT_READ:
        return WANTS_READ
    if error == SSL_ERROR_WANT_WRITE:
        return WANTS_WRITE
    if error == SSL_ERROR_ZERO_RETURN:
        return ENDED
    return FAILED if error == SSL_ERROR_SSL else LOST


cdef int tls_read(SSL *ssl, uint8_t *out, int size) noexcept nogil:
    cdef int result = SSL_read(ssl, out, size)
    return result if result > 0 else outcome_of(ssl, result)


cdef int tls_write(SSL *ssl, const uint8_t *at, int size) noexcept nogil:
    cdef int result = SSL_write(ssl, at, size)
    return result if result > 0 else outcome_of(ssl, result)


cdef bint tls_has_more(SSL *ssl) noexcept nogil:
    return SSL_has_pending(ssl)


cdef void tls_say_goodbye(SSL *ssl) noexcept nogil:
    if SSL_is_init_finished(ssl):
        SSL_shutdown(ssl)
        ERR_clear_error()


cdef void tls_free(SSL *ssl) noexcept nogil:
    SSL_free(ssl)
    ERR_clear_error()


cdef Protocol tls_protocol(SSL *ssl) noexcept nogil:
    cdef const unsigned char *at
    cdef unsigned int size
    SSL_get0_alpn_selected(ssl, &at, &size)
    if size == 0:
        return NONE_CHOSEN
    return DOT if size == 3 else H2 if size == 2 else HTTP_1


cdef const char *tls_server_name(SSL *ssl) noexcept nogil:
    return SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)


cdef bint tls_client_fingerprint(SSL *ssl, uint8_t *out) noexcept nogil:
    cdef X509 *certificate = SSL_get0_peer_certificate(ssl)
    cdef unsigned int size
    return certificate != NULL and X509_digest(certificate, _sha256, out, &size) == 1
