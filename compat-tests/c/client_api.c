/* The C client's API (multi-threaded library) against a real server; extended types enabled there. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <zookeeper/zookeeper.h>

static const char *hosts;
static int steps;

#define CHECK(truth)                                                          \
    do {                                                                      \
        if (!(truth)) {                                                       \
            printf("FAILED at line %d: %s\n", __LINE__, #truth);              \
            exit(1);                                                          \
        }                                                                     \
    } while (0)

#define SAME(found, wanted)                                                   \
    do {                                                                      \
        int found_ = (found), wanted_ = (wanted);                             \
        if (found_ != wanted_) {                                              \
            printf("FAILED at line %d: %s is %d (%s), not %d\n", __LINE__,    \
                   #found, found_, zerror(found_), wanted_);                  \
            exit(1);                                                          \
        }                                                                     \
    } while (0)

/* What watchers and callbacks tell, under one lock. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int events, last_type, callbacks, failures, disorder;
static char last_path[256];

static void wait_until(const int *counter, int wanted) {
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 15;
    pthread_mutex_lock(&mutex);
    while (*counter < wanted) {
        if (pthread_cond_timedwait(&changed, &mutex, &deadline) != 0) {
            printf("FAILED: waited in vain for %d of %d\n", wanted, *counter);
            exit(1);
        }
    }
    pthread_mutex_unlock(&mutex);
}

static void watcher(zhandle_t *zh, int type, int state, const char *path, void *context) {
    (void)zh, (void)state, (void)context;
    if (type == ZOO_SESSION_EVENT) {
        return;
    }
    pthread_mutex_lock(&mutex);
    events++;
    last_type = type;
    snprintf(last_path, sizeof last_path, "%s", path);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void expect_event(int number, int type, const char *path) {
    wait_until(&events, number);
    SAME(last_type, type);
    CHECK(strcmp(last_path, path) == 0);
}

static zhandle_t *connect_as(const clientid_t *id) {
    zhandle_t *zh = zookeeper_init(hosts, watcher, 10000, id, NULL, 0);
    CHECK(zh != NULL);
    for (int tries = 0; zoo_state(zh) != ZOO_CONNECTED_STATE; tries++) {
        CHECK(tries < 1500);
        usleep(10000);
    }
    return zh;
}

static void done(const char *step) {
    steps++;
    printf("ok %s\n", step);
    fflush(stdout);
}

static void basics(zhandle_t *zh) {
    char buffer[1024], path[256];
    int length = sizeof buffer;
    struct Stat stat;
    struct String_vector names;
    SAME(zoo_create(zh, "/c", "one", 3, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path), ZOK);
    CHECK(strcmp(path, "/c") == 0);
    SAME(zoo_get(zh, "/c", 0, buffer, &length, &stat), ZOK);
    CHECK(length == 3 && memcmp(buffer, "one", 3) == 0 && stat.version == 0);
    SAME(zoo_set2(zh, "/c", "two!", 4, 0, &stat), ZOK);
    CHECK(stat.version == 1 && stat.dataLength == 4);
    SAME(zoo_set(zh, "/c", "x", 1, 0), ZBADVERSION);
    SAME(zoo_create(zh, "/c", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZNODEEXISTS);
    SAME(zoo_create(zh, "/no/parent", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZNONODE);
    SAME(zoo_create(zh, "/c/null", NULL, -1, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZOK);
    length = sizeof buffer;
    SAME(zoo_get(zh, "/c/null", 0, buffer, &length, &stat), ZOK);
    SAME(length, -1);
    SAME(zoo_create(zh, "/c/e", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0), ZOK);
    SAME(zoo_exists(zh, "/c/e", 0, &stat), ZOK);
    CHECK(stat.ephemeralOwner == zoo_client_id(zh)->client_id);
    SAME(zoo_create(zh, "/c/e/x", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZNOCHILDRENFOREPHEMERALS);
    SAME(zoo_create(zh, "/c/s", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE, path, sizeof path), ZOK);
    CHECK(strcmp(path, "/c/s0000000002") == 0);
    SAME(zoo_create_ttl(zh, "/c/ttl", "t", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_WITH_TTL, 3600000, path, sizeof path), ZOK);
    SAME(zoo_create2(zh, "/c/two", "22", 2, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path, &stat), ZOK);
    SAME(stat.dataLength, 2);
    SAME(zoo_get_children2(zh, "/c", 0, &names, &stat), ZOK);
    CHECK(names.count == 5 && stat.numChildren == 5);
    for (int index = 0; index < names.count; index++) {
        snprintf(path, sizeof path, "/c/%s", names.data[index]);
        SAME(zoo_delete(zh, path, -1), ZOK);
    }
    deallocate_String_vector(&names);
    SAME(zoo_delete(zh, "/c", 77), ZBADVERSION);
    SAME(zoo_delete(zh, "/c", -1), ZOK);
    SAME(zoo_exists(zh, "/c", 0, &stat), ZNONODE);
    done("basics");
}

static void watches(zhandle_t *zh) {
    char buffer[16];
    int length = sizeof buffer;
    struct Stat stat;
    struct String_vector names;
    zhandle_t *other = connect_as(NULL);
    int seen = events;
    SAME(zoo_wexists(zh, "/w", watcher, NULL, &stat), ZNONODE);
    SAME(zoo_create(other, "/w", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZOK);
    expect_event(seen + 1, ZOO_CREATED_EVENT, "/w");
    SAME(zoo_wget(zh, "/w", watcher, NULL, buffer, &length, &stat), ZOK);
    SAME(zoo_set(other, "/w", "x", 1, -1), ZOK);
    expect_event(seen + 2, ZOO_CHANGED_EVENT, "/w");
    SAME(zoo_wget_children(zh, "/w", watcher, NULL, &names), ZOK);
    deallocate_String_vector(&names);
    SAME(zoo_create(other, "/w/c", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZOK);
    expect_event(seen + 3, ZOO_CHILD_EVENT, "/w");
    length = sizeof buffer;
    SAME(zoo_wget(zh, "/w/c", watcher, NULL, buffer, &length, &stat), ZOK);
    SAME(zoo_delete(other, "/w/c", -1), ZOK);
    expect_event(seen + 4, ZOO_DELETED_EVENT, "/w/c");
    SAME(zoo_wexists(zh, "/w", watcher, NULL, &stat), ZOK);
    SAME(zoo_remove_watches(zh, "/w", ZWATCHTYPE_DATA, watcher, NULL, 0), ZOK);
    SAME(zoo_remove_watches(zh, "/w", ZWATCHTYPE_DATA, watcher, NULL, 0), ZNOWATCHER);
    SAME(zoo_delete(other, "/w", -1), ZOK);
    zookeeper_close(other);
    done("watches");
}

static void multi(zhandle_t *zh) {
    char path[3][64];
    struct Stat stat;
    zoo_op_t good[4], bad[3];
    zoo_op_result_t results[4];
    zoo_create_op_init(&good[0], "/m", "m", 1, &ZOO_OPEN_ACL_UNSAFE, 0, path[0], sizeof path[0]);
    zoo_create_op_init(&good[1], "/m/s", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE, path[1], sizeof path[1]);
    zoo_set_op_init(&good[2], "/m", "n", 1, 0, &stat);
    zoo_check_op_init(&good[3], "/m", 1);
    SAME(zoo_multi(zh, 4, good, results), ZOK);
    CHECK(strcmp(path[1], "/m/s0000000000") == 0 && stat.version == 1);
    zoo_create_op_init(&bad[0], "/m/never", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, path[0], sizeof path[0]);
    zoo_check_op_init(&bad[1], "/m", 99);
    zoo_delete_op_init(&bad[2], "/m/s0000000000", -1);
    SAME(zoo_multi(zh, 3, bad, results), ZBADVERSION);
    SAME(results[0].err, ZOK);
    SAME(results[1].err, ZBADVERSION);
    SAME(results[2].err, ZRUNTIMEINCONSISTENCY);
    SAME(zoo_exists(zh, "/m/never", 0, &stat), ZNONODE);
    SAME(zoo_delete(zh, "/m/s0000000000", -1), ZOK);
    SAME(zoo_delete(zh, "/m", -1), ZOK);
    done("multi");
}

static void auth_done(int rc, const void *data) {
    (void)data;
    pthread_mutex_lock(&mutex);
    callbacks++;
    failures += rc != ZOK;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void acls(zhandle_t *zh) {
    char buffer[16];
    int length = sizeof buffer;
    struct Stat stat;
    struct ACL_vector found;
    zhandle_t *owner = connect_as(NULL);
    callbacks = failures = 0;
    SAME(zoo_add_auth(owner, "digest", "user:password", 13, auth_done, NULL), ZOK);
    wait_until(&callbacks, 1);
    SAME(failures, 0);
    SAME(zoo_create(owner, "/acl", "s", 1, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0), ZOK);
    SAME(zoo_get(zh, "/acl", 0, buffer, &length, &stat), ZNOAUTH);
    SAME(zoo_set(zh, "/acl", "x", 1, -1), ZNOAUTH);
    SAME(zoo_get_acl(owner, "/acl", &found, &stat), ZOK);
    CHECK(found.count == 1 && strcmp(found.data[0].id.scheme, "digest") == 0);
    CHECK(strncmp(found.data[0].id.id, "user:", 5) == 0);
    deallocate_ACL_vector(&found);
    SAME(zoo_set_acl(owner, "/acl", 0, &ZOO_READ_ACL_UNSAFE), ZOK);
    length = sizeof buffer;
    SAME(zoo_get(zh, "/acl", 0, buffer, &length, &stat), ZOK);
    CHECK(stat.aversion == 1);
    SAME(zoo_create(zh, "/acl2", "", 0, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0), ZINVALIDACL);
    SAME(zoo_delete(owner, "/acl", -1), ZOK);
    zookeeper_close(owner);
    done("acls");
}

static void created(int rc, const char *name, const void *data) {
    pthread_mutex_lock(&mutex);
    disorder += (long)data != callbacks;
    failures += rc != ZOK || strncmp(name, "/a/", 3) != 0;
    callbacks++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void asynchronous(zhandle_t *zh) {
    const int count = 500;
    char path[64];
    struct String_vector names;
    SAME(zoo_create(zh, "/a", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZOK);
    callbacks = failures = disorder = 0;
    for (long index = 0; index < count; index++) {
        snprintf(path, sizeof path, "/a/%ld", index);
        SAME(zoo_acreate(zh, path, "x", 1, &ZOO_OPEN_ACL_UNSAFE, 0, created, (void *)index), ZOK);
    }
    SAME(zoo_get_children(zh, "/a", 0, &names), ZOK);
    CHECK(names.count == count);
    deallocate_String_vector(&names);
    wait_until(&callbacks, count);
    SAME(failures, 0);
    SAME(disorder, 0);
    for (int index = 0; index < count; index++) {
        snprintf(path, sizeof path, "/a/%d", index);
        SAME(zoo_delete(zh, path, 0), ZOK);
    }
    SAME(zoo_delete(zh, "/a", -1), ZOK);
    done("asynchronous");
}

/* In a process of its own: owns an ephemeral, tells its session, and goes without closing it. */
static int leave(void) {
    zhandle_t *zh = connect_as(NULL);
    SAME(zoo_create(zh, "/mine", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0), ZOK);
    fwrite(zoo_client_id(zh), sizeof(clientid_t), 1, stdout);
    fflush(stdout);
    _exit(0);
}

static void reattach(zhandle_t *zh, const char *self) {
    char command[1024];
    struct Stat stat;
    clientid_t id;
    snprintf(command, sizeof command, "'%s' %s leave", self, hosts);
    FILE *left = popen(command, "r");
    CHECK(left != NULL && fread(&id, sizeof id, 1, left) == 1);
    SAME(pclose(left), 0);
    zhandle_t *heir = connect_as(&id);
    CHECK(zoo_client_id(heir)->client_id == id.client_id);
    SAME(zoo_exists(heir, "/mine", 0, &stat), ZOK);
    CHECK(stat.ephemeralOwner == id.client_id);
    SAME(zookeeper_close(heir), ZOK);
    SAME(zoo_exists(zh, "/mine", 0, &stat), ZNONODE);
    done("reattach");
}

int main(int count, char **arguments) {
    CHECK(count >= 2);
    hosts = arguments[1];
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    if (count == 3) {
        return leave();
    }
    zhandle_t *zh = connect_as(NULL);
    basics(zh);
    watches(zh);
    multi(zh);
    acls(zh);
    asynchronous(zh);
    reattach(zh, arguments[0]);
    SAME(zookeeper_close(zh), ZOK);
    printf("%d steps, 0 failed\n", steps);
    return 0;
}
