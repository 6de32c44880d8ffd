/* The C client with TLS or SASL: connects, uses a znode, and prints what comes of each step.
 *
 * secure tls HOSTS SECONDS AUTHORITY CERTIFICATE KEY
 * secure sasl HOSTS SECONDS MECHANISM USER PASSWORD_FILE PATH OWNER
 *
 * The first line is `start: ok`, `start: auth failed`, or `start: nothing` if it has not connected
 * after so many seconds, for the library tries again where TLS fails. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zookeeper.h>

enum { DATA = 200000 };

/* The library asks for it, and OpenSSL has it no more since version 3. */
int FIPS_mode(void) {
    return 0;
}

/* Whether the session is there; an end of the program if it never is. No watcher is told of every
 * failure, but the handle knows. */
static void started(zhandle_t *zh, int seconds) {
    if (zh == NULL) {
        puts("start: no handle");
        exit(1);
    }
    for (int waits = 0; zoo_state(zh) != ZOO_CONNECTED_STATE; waits++) {
        int has_failed = zoo_state(zh) == ZOO_AUTH_FAILED_STATE;
        if (has_failed || seconds * 100 <= waits) {
            puts(has_failed ? "start: auth failed" : "start: nothing");
            fflush(stdout);
            _Exit(0);
        }
        usleep(10000);
    }
    puts("start: ok");
}

static const char *named(int code) {
    switch (code) {
    case ZOK: return "ok";
    case ZNOAUTH: return "NOAUTH";
    case ZNODEEXISTS: return "NODEEXISTS";
    case ZAUTHFAILED: return "AUTHFAILED";
    default: return zerror(code);
    }
}

static void tls(char **arguments, const char *hosts, int seconds) {
    char certificates[4096], path[64];
    static char written[DATA], read[DATA + 1];
    int length = sizeof read;
    struct Stat stat;
    snprintf(certificates, sizeof certificates, "%s,%s,%s", arguments[0], arguments[1], arguments[2]);
    zhandle_t *zh = zookeeper_init_ssl(hosts, certificates, NULL, 20000, NULL, NULL, 0);
    started(zh, seconds);
    memset(written, 'x', DATA);
    printf("create: %s\n", named(zoo_create(zh, "/c-", written, DATA, &ZOO_OPEN_ACL_UNSAFE,
                                            ZOO_SEQUENCE, path, sizeof path)));
    int code = zoo_get(zh, path, 0, read, &length, &stat);
    int is_same = code == ZOK && length == DATA && memcmp(read, written, DATA) == 0;
    printf("get: %s\n", is_same ? "the same" : named(code));
    printf("delete: %s\n", named(zoo_delete(zh, path, 0)));
    printf("close: %s\n", named(zookeeper_close(zh)));
}

static void sasl(char **arguments, const char *hosts, int seconds) {
    const char *path = arguments[3];
    char data[64];
    int length = sizeof data;
    struct Stat stat;
    struct ACL entry = {ZOO_PERM_ALL, {"sasl", arguments[4]}};
    struct ACL_vector acl = {1, &entry}, found;
    zoo_sasl_params_t params = {
        .service = "zookeeper",
        .host = "zk-sasl-md5",
        .mechlist = arguments[0],
        .callbacks = zoo_sasl_make_basic_callbacks(arguments[1], NULL, arguments[2]),
    };
    if (sasl_client_init(NULL) != SASL_OK) {
        puts("start: no Cyrus SASL");
        exit(1);
    }
    zhandle_t *zh = zookeeper_init_sasl(hosts, NULL, 20000, NULL, NULL, 0, NULL, &params);
    started(zh, seconds);
    printf("create: %s\n", named(zoo_create(zh, path, "data", 4, &acl, 0, NULL, 0)));
    int code = zoo_get(zh, path, 0, data, &length, &stat);
    printf("get: %.*s\n", code == ZOK ? length : 64, code == ZOK ? data : named(code));
    code = zoo_get_acl(zh, path, &found, &stat);
    if (code == ZOK) {
        printf("acl: %s %s\n", found.data[0].id.scheme, found.data[0].id.id);
        deallocate_ACL_vector(&found);
    } else {
        printf("acl: %s\n", named(code));
    }
    printf("set: %s\n", named(zoo_set(zh, path, "data", 4, -1)));
    printf("close: %s\n", named(zookeeper_close(zh)));
}

int main(int count, char **arguments) {
    /* Raised where a server closes while the library writes by way of OpenSSL. */
    signal(SIGPIPE, SIG_IGN);
    if (count == 7 && strcmp(arguments[1], "tls") == 0) {
        tls(arguments + 4, arguments[2], atoi(arguments[3]));
    } else if (count == 9 && strcmp(arguments[1], "sasl") == 0) {
        sasl(arguments + 4, arguments[2], atoi(arguments[3]));
    } else {
        fputs("see the top of secure.c\n", stderr);
        return 2;
    }
    return 0;
}
