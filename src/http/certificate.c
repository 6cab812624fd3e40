/* SPDX-License-Identifier: Apache-2.0
 *
 * certificate: see certificate.h. X.509: RFC 5280.
 */
#include "certificate.h"

#include "loop/keyfile.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_BYTES = 256, SERIAL_BYTES = 16, DAY_SECONDS = 24 * 60 * 60 };

#define NO_DATE "99991231235959Z" /* RFC 5280, 4.1.2.5 */

int certificate_pin(X509 *certificate, char out[static CERTIFICATE_PIN_BYTES])
{
    unsigned char *der = NULL, digest[32];
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    int rc = n > 0 && EVP_Digest(der, (size_t)n, digest, NULL, EVP_sha256(), NULL) == 1 ? 0 : ERR_INVALID;
    memcpy(out, "sha256//", 9);
    if (rc == 0)
        (void)EVP_EncodeBlock((unsigned char *)out + 8, digest, sizeof digest);
    OPENSSL_free(der);
    return rc;
}

int certificate_pin_file(const char *path, char out[static CERTIFICATE_PIN_BYTES], struct err *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return err_errno(err, errno, "certificate %s", path);
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
    (void)fclose(file);
    int rc = certificate == NULL ? ERR_INVALID : certificate_pin(certificate, out);
    X509_free(certificate);
    return rc == 0 ? 0 : err_set(err, rc, "certificate %s is no certificate in PEM", path);
}

/* ---- a new one -------------------------------------------------------------------------------- */

static bool add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool added = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

/* A host's name that is none of the DNS would be refused by those who read the certificate. */
static bool is_dns_name(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n < 64 * 4 - 2 &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.") == n;
}

static bool add_names(X509 *certificate)
{
    char host[NAME_BYTES] = "", names[2 * NAME_BYTES] = "";
    if (gethostname(host, sizeof host - 1) != 0 || !is_dns_name(host) || strcmp(host, "localhost") == 0)
        host[0] = '\0';
    (void)snprintf(names, sizeof names, "%s%s%sDNS:localhost,IP:127.0.0.1,IP:::1",
                   host[0] != '\0' ? "DNS:" : "", host, host[0] != '\0' ? "," : "");
    X509_NAME *subject = X509_get_subject_name(certificate);
    return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)"mail-analytics",
                                      -1, -1, 0) == 1 &&
           X509_set_issuer_name(certificate, subject) == 1 &&
           add_extension(certificate, NID_subject_alt_name, names);
}

/* Random: two hubs' certificates must not be one to a browser that knows both. */
static bool set_serial(X509 *certificate)
{
    unsigned char bytes[SERIAL_BYTES];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool set = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return set;
}

static X509 *sign_own(EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    if (certificate != NULL && X509_set_version(certificate, X509_VERSION_3) == 1 &&
        set_serial(certificate) && X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY_SECONDS) != NULL &&
        ASN1_TIME_set_string(X509_getm_notAfter(certificate), NO_DATE) == 1 &&
        X509_set_pubkey(certificate, key) == 1 && add_names(certificate) &&
        add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
        add_extension(certificate, NID_key_usage, "critical,digitalSignature") &&
        add_extension(certificate, NID_ext_key_usage, "serverAuth") &&
        add_extension(certificate, NID_subject_key_identifier, "hash") &&
        X509_sign(certificate, key, EVP_sha256()) > 0)
        return certificate;
    X509_free(certificate);
    return NULL;
}

static int write_pem(BIO *pem, const char *path, mode_t mode, struct err *err)
{
    char *text = NULL;
    long n = BIO_get_mem_data(pem, &text);
    return keyfile_write(path, (struct slice){text, (size_t)n}, mode, err);
}

/* The key's file says that all is done: it comes last. */
static int write_both(EVP_PKEY *key, X509 *certificate, const char *certificate_path, const char *key_path,
                      struct err *err)
{
    BIO *public_half = BIO_new(BIO_s_mem()), *secret_half = BIO_new(BIO_s_secmem());
    int rc = public_half != NULL && secret_half != NULL &&
                     PEM_write_bio_X509(public_half, certificate) == 1 &&
                     PEM_write_bio_PrivateKey(secret_half, key, NULL, NULL, 0, NULL, NULL) == 1
                 ? 0
                 : err_set(err, ERR_NO_MEMORY, "no memory for a certificate");
    if (rc == 0)
        rc = write_pem(public_half, certificate_path, 0644, err);
    if (rc == 0)
        rc = write_pem(secret_half, key_path, 0600, err);
    BIO_free(public_half);
    BIO_free(secret_half);
    return rc;
}

int certificate_make(const char *certificate_path, const char *key_path, struct err *err)
{
    if (access(key_path, F_OK) == 0)
        return 0;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = key != NULL ? sign_own(key) : NULL;
    int rc = certificate != NULL ? write_both(key, certificate, certificate_path, key_path, err)
                                 : err_set(err, ERR_NO_MEMORY, "a certificate can't be made");
    X509_free(certificate);
    EVP_PKEY_free(key);
    return rc;
}
