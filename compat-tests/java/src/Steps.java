import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZKUtil;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Stat;

/**
 * Runs the static methods of a class whose names begin with "step", each on clients of its own.
 * Arguments: the connect string; then "unsettled" if it names several servers that come and go; then
 * "without=NAME" for each step that is left out.
 *
 * <p>On one server a step is done once. On several, what one client has written another may not see
 * yet: every read is sent behind a sync. And a step that fails while the connection of one of its
 * clients broke is done again, on a tree as empty as at first; how often, is limited and printed.
 */
final class Steps {
    private static final int ATTEMPTS = 8;

    static String hosts;
    private static boolean unsettled;
    private static final List<ZooKeeper> OPENED = Collections.synchronizedList(new ArrayList<>());
    private static final AtomicInteger INTERRUPTIONS = new AtomicInteger();

    private Steps() {
    }

    /** A client of several servers: its reads see what others have written before. */
    private static final class Roaming extends ZooKeeper {
        Roaming(String hosts, Watcher watcher) throws IOException {
            super(hosts, 10000, watcher);
        }

        Roaming(String hosts, Watcher watcher, long session, byte[] password) throws IOException {
            super(hosts, 10000, watcher, session, password);
        }

        private void sync() {
            sync("/", (rc, path, context) -> { }, null);
        }

        @Override
        public Stat exists(String path, Watcher watcher) throws KeeperException, InterruptedException {
            sync();
            return super.exists(path, watcher);
        }

        @Override
        public byte[] getData(String path, Watcher watcher, Stat stat) throws KeeperException, InterruptedException {
            sync();
            return super.getData(path, watcher, stat);
        }

        @Override
        public List<String> getChildren(String path, Watcher watcher) throws KeeperException, InterruptedException {
            sync();
            return super.getChildren(path, watcher);
        }

        @Override
        public List<String> getChildren(String path, Watcher watcher, Stat stat)
            throws KeeperException, InterruptedException {
            sync();
            return super.getChildren(path, watcher, stat);
        }

        @Override
        public List<ACL> getACL(String path, Stat stat) throws KeeperException, InterruptedException {
            sync();
            return super.getACL(path, stat);
        }
    }

    /** A watcher that keeps what it was told. */
    static final class Events implements Watcher {
        final BlockingQueue<WatchedEvent> queue = new LinkedBlockingQueue<>();

        @Override
        public void process(WatchedEvent event) {
            queue.add(event);
        }

        void expect(Watcher.Event.EventType type, String path) throws InterruptedException {
            WatchedEvent event = queue.poll(15, TimeUnit.SECONDS);
            check(event != null, "no event, expected " + type + " " + path);
            check(event.getType() == type && path.equals(event.getPath()),
                event + " instead of " + type + " " + path);
        }

        void expectNone() throws InterruptedException {
            WatchedEvent event = queue.poll(100, TimeUnit.MILLISECONDS);
            check(event == null, "unexpected: " + event);
        }
    }

    static ZooKeeper connect() throws Exception {
        return connect(0, null);
    }

    static ZooKeeper connect(long session, byte[] password) throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        Watcher watcher = event -> {
            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                connected.countDown();
            } else if (event.getState() == Watcher.Event.KeeperState.Disconnected) {
                INTERRUPTIONS.incrementAndGet();
            }
        };
        ZooKeeper zk = open(watcher, session, password);
        OPENED.add(zk);
        check(connected.await(20, TimeUnit.SECONDS), "not connected");
        return zk;
    }

    private static ZooKeeper open(Watcher watcher, long session, byte[] password) throws IOException {
        if (unsettled) {
            return password == null
                ? new Roaming(hosts, watcher)
                : new Roaming(hosts, watcher, session, password);
        }
        return password == null
            ? new ZooKeeper(hosts, 10000, watcher)
            : new ZooKeeper(hosts, 10000, watcher, session, password);
    }

    static void check(boolean truth, String what) {
        if (!truth) {
            throw new AssertionError(what);
        }
    }

    static void same(Object found, Object wanted, String what) {
        if (!wanted.equals(found)) {
            throw new AssertionError(what + ": " + found + " instead of " + wanted);
        }
    }

    static void fails(KeeperException.Code code, Callable<?> call) throws Exception {
        try {
            call.call();
        } catch (KeeperException error) {
            same(error.code(), code, "error");
            return;
        }
        throw new AssertionError("no " + code);
    }

    static void run(Class<?> steps, String[] arguments) throws Exception {
        hosts = arguments[0];
        List<String> options = Arrays.asList(arguments).subList(1, arguments.length);
        unsettled = options.contains("unsettled");
        List<Method> methods = new ArrayList<>();
        for (Method method : steps.getDeclaredMethods()) {
            if (method.getName().startsWith("step") && !method.isSynthetic()
                && !options.contains("without=" + method.getName())) {
                methods.add(method);
            }
        }
        methods.sort(Comparator.comparing(Method::getName));
        int failed = 0;
        for (Method method : methods) {
            method.setAccessible(true);
            if (unsettled ? settled(method) : attempt(method)) {
                System.out.println("ok " + method.getName());
            } else {
                failed++;
                System.out.println("FAILED " + method.getName());
            }
        }
        System.out.println(methods.size() + " steps, " + failed + " failed");
        System.exit(failed == 0 && !methods.isEmpty() ? 0 : 1);
    }

    /** Whether the step came to its end. */
    private static boolean attempt(Method step) throws Exception {
        try {
            ZooKeeper zk = connect();
            System.out.println("begin " + step.getName());
            try {
                step.invoke(null, zk);
            } finally {
                zk.close();
            }
            return true;
        } catch (InvocationTargetException error) {
            // The event that says so may still be on its way to the watcher.
            if (error.getCause() instanceof KeeperException.ConnectionLossException) {
                INTERRUPTIONS.incrementAndGet();
            }
            error.getCause().printStackTrace(System.out);
            return false;
        }
    }

    /** Does a step until it is not interrupted; whether it came to its end. */
    private static boolean settled(Method step) throws Exception {
        for (int count = 0; count < ATTEMPTS; count++) {
            int before = INTERRUPTIONS.get();
            boolean done = attempt(step);
            boolean interrupted = INTERRUPTIONS.get() != before;
            tidy();
            if (done || !interrupted) {
                return done;
            }
            System.out.println("interrupted " + step.getName());
        }
        return false;
    }

    /** Ends all clients, and leaves the tree empty. */
    private static void tidy() throws Exception {
        endClients();
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (true) {
            try {
                ZooKeeper zk = connect();
                for (String name : zk.getChildren("/", false)) {
                    if (!name.equals("zookeeper")) {
                        ZKUtil.deleteRecursive(zk, "/" + name, 100);
                    }
                }
                return;
            } catch (KeeperException | AssertionError error) {
                check(System.nanoTime() < deadline, "the tree cannot be emptied");
            } finally {
                endClients();
            }
        }
    }

    private static void endClients() throws Exception {
        for (ZooKeeper zk : new ArrayList<>(OPENED)) {
            zk.close();
        }
        OPENED.clear();
    }
}
