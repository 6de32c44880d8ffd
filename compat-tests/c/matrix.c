/* The steps of the matrix with the C client, with threads (-DTHREADED) and without: only its
   asynchronous calls are in both. Arguments: the connect string, then the steps to do.

   Prints of each step "ok NAME" or "FAILED NAME: why". Where a step needs something done to the
   servers it prints "please WHAT" and waits for a line. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#include <zookeeper/zookeeper.h>

#define CLIENTS 2
#define PATIENCE 30000
#define ANY (-1)

static const char *hosts;
static jmp_buf end_of_step;
static char why[512];

/* The clients that are open. */
static zhandle_t *clients[CLIENTS];

/* What the answer that is waited for says, and the event that came last. Callbacks of the threaded
   library come on a thread of its own. */
static volatile int answered, result, count;
static char text[256], names[256];
static struct Stat stat;
static volatile int events, event_type;
static char event_path[256];

#define CHECK(truth)                                                          \
    do {                                                                      \
        if (!(truth)) {                                                       \
            snprintf(why, sizeof why, "line %d: not %s (rc %d %s)", __LINE__, \
                     #truth, result, zerror(result));                         \
            longjmp(end_of_step, 1);                                          \
        }                                                                     \
    } while (0)

static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Lets the clients work for a moment. */
static void work(void) {
#ifdef THREADED
    usleep(5000);
#else
    for (int index = 0; index < CLIENTS; index++) {
        if (clients[index] == NULL) {
            continue;
        }
        int fd = -1, interest = 0, ready = 0;
        struct timeval wait;
        fd_set reads, writes;
        FD_ZERO(&reads);
        FD_ZERO(&writes);
        zookeeper_interest(clients[index], &fd, &interest, &wait);
        if (fd == -1) {
            usleep(5000);
            continue;
        }
        if (interest & ZOOKEEPER_READ) {
            FD_SET(fd, &reads);
        }
        if (interest & ZOOKEEPER_WRITE) {
            FD_SET(fd, &writes);
        }
        wait.tv_sec = 0;
        wait.tv_usec = 5000;
        if (select(fd + 1, &reads, &writes, NULL, &wait) > 0) {
            ready |= FD_ISSET(fd, &reads) ? ZOOKEEPER_READ : 0;
            ready |= FD_ISSET(fd, &writes) ? ZOOKEEPER_WRITE : 0;
        }
        zookeeper_process(clients[index], ready);
    }
#endif
}

static void watcher(zhandle_t *zh, int type, int state, const char *path, void *context) {
    (void)zh, (void)state, (void)context;
    if (type != ZOO_SESSION_EVENT) {
        event_type = type;
        snprintf(event_path, sizeof event_path, "%s", path);
        __sync_synchronize();
        events++;
    }
}

static void expect_event(int number, int type, const char *path) {
    long deadline = now() + PATIENCE;
    while (events < number && now() < deadline) {
        work();
    }
    CHECK(events == number);
    CHECK(event_type == type && strcmp(event_path, path) == 0);
}

static zhandle_t *open_as(int index, const clientid_t *id) {
    long deadline = now() + PATIENCE;
    clients[index] = zookeeper_init(hosts, watcher, PATIENCE, id, NULL, 0);
    CHECK(clients[index] != NULL);
    while (zoo_state(clients[index]) != ZOO_CONNECTED_STATE && now() < deadline) {
        work();
    }
    CHECK(zoo_state(clients[index]) == ZOO_CONNECTED_STATE);
    return clients[index];
}

static zhandle_t *open_client(int index) {
    return open_as(index, NULL);
}

static void close_client(int index) {
    if (clients[index] != NULL) {
        zookeeper_close(clients[index]);
        clients[index] = NULL;
    }
}

/* Answers of each kind. */
static void done(int rc) {
    result = rc;
    __sync_synchronize();
    answered = 1;
}

static void on_void(int rc, const void *data) {
    (void)data;
    done(rc);
}

static void on_text(int rc, const char *value, const void *data) {
    (void)data;
    snprintf(text, sizeof text, "%s", value == NULL ? "" : value);
    done(rc);
}

static void on_stat(int rc, const struct Stat *value, const void *data) {
    (void)data;
    if (value != NULL) {
        stat = *value;
    }
    done(rc);
}

static void on_data(int rc, const char *value, int length, const struct Stat *found, const void *data) {
    (void)data;
    snprintf(text, sizeof text, "%.*s", length < 0 ? 0 : length, value == NULL ? "" : value);
    if (found != NULL) {
        stat = *found;
    }
    done(rc);
}

static void on_names(int rc, const struct String_vector *value, const void *data) {
    (void)data;
    names[0] = 0;
    count = value == NULL ? 0 : value->count;
    for (int index = 0; index < count; index++) {
        strncat(names, value->data[index], sizeof names - strlen(names) - 1);
    }
    done(rc);
}

static void on_acl(int rc, struct ACL_vector *value, struct Stat *found, const void *data) {
    (void)found, (void)data;
    if (value != NULL && value->count > 0) {
        snprintf(text, sizeof text, "%s", value->data[0].id.scheme);
    }
    done(rc);
}

static int answer(int sent) {
    long deadline = now() + PATIENCE;
    if (sent != ZOK) {
        return result = sent;
    }
    while (!answered && now() < deadline) {
        work();
    }
    return answered ? result : (result = ZOPERATIONTIMEOUT);
}

#define ASK(call) (answered = 0, answer(call))

static int create(zhandle_t *zh, const char *path, const char *data, int flags) {
    return ASK(zoo_acreate(zh, path, data, (int)strlen(data), &ZOO_OPEN_ACL_UNSAFE, flags, on_text, NULL));
}

static int get(zhandle_t *zh, const char *path, watcher_fn watch) {
    return ASK(zoo_awget(zh, path, watch, NULL, on_data, NULL));
}

static int set(zhandle_t *zh, const char *path, const char *data, int version) {
    return ASK(zoo_aset(zh, path, data, (int)strlen(data), version, on_stat, NULL));
}

static int delete(zhandle_t *zh, const char *path) {
    return ASK(zoo_adelete(zh, path, ANY, on_void, NULL));
}

static int exists(zhandle_t *zh, const char *path, watcher_fn watch) {
    return ASK(zoo_awexists(zh, path, watch, NULL, on_stat, NULL));
}

static int children(zhandle_t *zh, const char *path, watcher_fn watch) {
    return ASK(zoo_awget_children(zh, path, watch, NULL, on_names, NULL));
}

static void step_connect(void) {
    zhandle_t *zh = open_client(0);
    CHECK(zoo_recv_timeout(zh) == PATIENCE);
    clientid_t id = *zoo_client_id(zh);
    CHECK(zoo_client_id(open_as(1, &id))->client_id == id.client_id);
    close_client(1);
}

static void step_crud(void) {
    zhandle_t *zh = open_client(0);
    CHECK(create(zh, "/crud", "one", 0) == ZOK && strcmp(text, "/crud") == 0);
    CHECK(create(zh, "/crud", "", 0) == ZNODEEXISTS);
    CHECK(get(zh, "/crud", NULL) == ZOK && strcmp(text, "one") == 0 && stat.version == 0);
    CHECK(set(zh, "/crud", "two", 0) == ZOK && stat.version == 1);
    CHECK(set(zh, "/crud", "", 0) == ZBADVERSION);
    CHECK(create(zh, "/crud/s-", "", ZOO_EPHEMERAL | ZOO_SEQUENCE) == ZOK);
    CHECK(strcmp(text, "/crud/s-0000000000") == 0);
    CHECK(create(zh, "/crud/s-", "", ZOO_EPHEMERAL | ZOO_SEQUENCE) == ZOK);
    CHECK(strcmp(text, "/crud/s-0000000001") == 0);
    CHECK(delete(zh, "/crud") == ZNOTEMPTY);
    CHECK(delete(zh, "/crud/s-0000000000") == ZOK && delete(zh, "/crud/s-0000000001") == ZOK);
    CHECK(delete(zh, "/crud") == ZOK);
    CHECK(get(zh, "/crud", NULL) == ZNONODE);
}

static void step_exists_children(void) {
    zhandle_t *zh = open_client(0);
    CHECK(exists(zh, "/none", NULL) == ZNONODE);
    CHECK(create(zh, "/children", "", 0) == ZOK);
    CHECK(create(zh, "/children/a", "x", 0) == ZOK && create(zh, "/children/b", "x", 0) == ZOK);
    CHECK(children(zh, "/children", NULL) == ZOK && count == 2);
    CHECK(strcmp(names, "ab") == 0 || strcmp(names, "ba") == 0);
    CHECK(exists(zh, "/children", NULL) == ZOK && stat.numChildren == 2);
    CHECK(exists(zh, "/children/a", NULL) == ZOK && stat.dataLength == 1);
}

static void step_data_watch(void) {
    zhandle_t *zh = open_client(0), *other = open_client(1);
    int seen = events;
    CHECK(create(zh, "/data", "", 0) == ZOK);
    CHECK(get(zh, "/data", watcher) == ZOK);
    CHECK(set(other, "/data", "x", ANY) == ZOK);
    expect_event(seen + 1, ZOO_CHANGED_EVENT, "/data");
    CHECK(get(zh, "/data", watcher) == ZOK);
    CHECK(delete(other, "/data") == ZOK);
    expect_event(seen + 2, ZOO_DELETED_EVENT, "/data");
}

static void step_child_watch(void) {
    zhandle_t *zh = open_client(0), *other = open_client(1);
    int seen = events;
    CHECK(create(zh, "/child", "", 0) == ZOK);
    CHECK(children(zh, "/child", watcher) == ZOK);
    CHECK(create(other, "/child/c", "", 0) == ZOK);
    expect_event(seen + 1, ZOO_CHILD_EVENT, "/child");
}

static void step_exists_watch(void) {
    zhandle_t *zh = open_client(0), *other = open_client(1);
    int seen = events;
    CHECK(exists(zh, "/later", watcher) == ZNONODE);
    CHECK(create(other, "/later", "", 0) == ZOK);
    expect_event(seen + 1, ZOO_CREATED_EVENT, "/later");
}

static void step_multi(void) {
    zhandle_t *zh = open_client(0);
    zoo_op_t ops[4];
    zoo_op_result_t results[4];
    char created[64];
    struct Stat changed;
    CHECK(create(zh, "/gone", "", 0) == ZOK);
    zoo_create_op_init(&ops[0], "/multi", "m", 1, &ZOO_OPEN_ACL_UNSAFE, 0, created, sizeof created);
    zoo_set_op_init(&ops[1], "/multi", "n", 1, 0, &changed);
    zoo_check_op_init(&ops[2], "/multi", 1);
    zoo_delete_op_init(&ops[3], "/gone", 0);
    CHECK(ASK(zoo_amulti(zh, 4, ops, results, on_void, NULL)) == ZOK);
    CHECK(strcmp(created, "/multi") == 0 && changed.version == 1);
    CHECK(exists(zh, "/gone", NULL) == ZNONODE);
    zoo_create_op_init(&ops[0], "/undone", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, created, sizeof created);
    zoo_check_op_init(&ops[1], "/multi", 7);
    CHECK(ASK(zoo_amulti(zh, 2, ops, results, on_void, NULL)) == ZBADVERSION);
    CHECK(results[0].err == ZOK && results[1].err == ZBADVERSION);
    CHECK(exists(zh, "/undone", NULL) == ZNONODE);
}

static void step_acl(void) {
    zhandle_t *zh = open_client(0), *other = open_client(1);
    CHECK(ASK(zoo_add_auth(zh, "digest", "user:secret", 11, on_void, NULL)) == ZOK);
    CHECK(ASK(zoo_acreate(zh, "/acl", "mine", 4, &ZOO_CREATOR_ALL_ACL, 0, on_text, NULL)) == ZOK);
    CHECK(ASK(zoo_aget_acl(zh, "/acl", on_acl, NULL)) == ZOK && strcmp(text, "digest") == 0);
    CHECK(get(other, "/acl", NULL) == ZNOAUTH);
    CHECK(ASK(zoo_add_auth(other, "digest", "user:wrong", 10, on_void, NULL)) == ZOK);
    CHECK(get(other, "/acl", NULL) == ZNOAUTH);
    CHECK(ASK(zoo_add_auth(other, "digest", "user:secret", 11, on_void, NULL)) == ZOK);
    CHECK(get(other, "/acl", NULL) == ZOK && strcmp(text, "mine") == 0);
    CHECK(ASK(zoo_aset_acl(zh, "/acl", 0, &ZOO_READ_ACL_UNSAFE, on_void, NULL)) == ZOK);
    CHECK(set(zh, "/acl", "", ANY) == ZNOAUTH);
}

/* Until a server has an answer. */
#define CONNECTED(call)                                                       \
    do {                                                                      \
        long deadline = now() + PATIENCE;                                     \
        while ((call) == ZCONNECTIONLOSS && now() < deadline) {               \
            work();                                                           \
        }                                                                     \
        CHECK(result == ZOK);                                                 \
    } while (0)

/* Session and ephemeral znode are there after what happens to the servers. */
static void survive(const char *event) {
    zhandle_t *zh = open_client(0);
    int64_t session = zoo_client_id(zh)->client_id;
    char path[64], line[16];
    snprintf(path, sizeof path, "/%s", event);
    CHECK(create(zh, path, "here", ZOO_EPHEMERAL) == ZOK);
    printf("please %s\n", event);
    CHECK(fgets(line, sizeof line, stdin) != NULL && strcmp(line, "done\n") == 0);
    CONNECTED(exists(zh, path, NULL));
    CHECK(stat.ephemeralOwner == session && zoo_client_id(zh)->client_id == session);
    CONNECTED(set(zh, path, "there", 0));
    CHECK(stat.version == 1);
    close_client(0);
    zhandle_t *other = open_client(1);
    CHECK(ASK(zoo_async(other, "/", on_text, NULL)) == ZOK);
    CHECK(exists(other, path, NULL) == ZNONODE);
}

static void step_restart(void) {
    survive("restart");
}

static void step_leader_change(void) {
    survive("leader_change");
}

static const struct {
    const char *name;
    void (*run)(void);
} steps[] = {
    {"connect", step_connect},         {"crud", step_crud},
    {"exists_children", step_exists_children}, {"data_watch", step_data_watch},
    {"child_watch", step_child_watch}, {"exists_watch", step_exists_watch},
    {"multi", step_multi},             {"acl", step_acl},
    {"restart", step_restart},         {"leader_change", step_leader_change},
};

static int attempt(const char *name, void (*run)(void)) {
    volatile int failed = 0;
    if (setjmp(end_of_step) != 0) {
        printf("FAILED %s: %s\n", name, why);
        failed = 1;
    } else {
        run();
        printf("ok %s\n", name);
    }
    close_client(0);
    close_client(1);
    return failed;
}

static int run(const char *name) {
    for (size_t index = 0; index < sizeof steps / sizeof steps[0]; index++) {
        if (strcmp(steps[index].name, name) == 0) {
            return attempt(name, steps[index].run);
        }
    }
    printf("FAILED %s: no such step\n", name);
    return 1;
}

int main(int argc, char **argv) {
    int failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    hosts = argv[1];
    for (int index = 2; index < argc; index++) {
        failed |= run(argv[index]);
    }
    return failed;
}
