import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooKeeper;

/** Runs the static methods of a class whose names begin with "step". */
final class Steps {
    static String hosts;

    private Steps() {
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
            }
        };
        ZooKeeper zk = password == null
            ? new ZooKeeper(hosts, 10000, watcher)
            : new ZooKeeper(hosts, 10000, watcher, session, password);
        check(connected.await(20, TimeUnit.SECONDS), "not connected");
        return zk;
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
        List<Method> methods = new ArrayList<>();
        for (Method method : steps.getDeclaredMethods()) {
            if (method.getName().startsWith("step") && !method.isSynthetic()) {
                methods.add(method);
            }
        }
        methods.sort(Comparator.comparing(Method::getName));
        int failed = 0;
        for (Method method : methods) {
            ZooKeeper zk = connect();
            try {
                method.setAccessible(true);
                method.invoke(null, zk);
                System.out.println("ok " + method.getName());
            } catch (InvocationTargetException error) {
                failed++;
                error.getCause().printStackTrace(System.out);
                System.out.println("FAILED " + method.getName());
            } finally {
                zk.close();
            }
        }
        System.out.println(methods.size() + " steps, " + failed + " failed");
        System.exit(failed == 0 && !methods.isEmpty() ? 0 : 1);
    }
}
