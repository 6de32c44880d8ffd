package org.apache.curator.test;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.TimeUnit;

/**
 * Stands for the class of this name, which has a server in the same process: starts one as
 * {@code java ... QuorumPeerMain zoo.cfg} with the java in PATH, which may be a stand-in, too, and the class
 * path of ZOOKEEPER_CLASSPATH. System properties that a server knows are handed on.
 */
public class ZooKeeperServerEmbeddedAdapter implements ZooKeeperMainFace {
    private static final long PATIENCE = TimeUnit.SECONDS.toNanos(60);

    private volatile Process server;
    private int port;

    @Override
    public void start(QuorumPeerConfigBuilder builder) {
        try {
            Properties properties = builder.buildProperties();
            properties.put("admin.enableServer", "false");
            properties.put("4lw.commands.whitelist", "*");
            port = Integer.parseInt(properties.getProperty("clientPort"));
            if (port == 0) {
                port = InstanceSpec.getRandomPort();
                properties.put("clientPort", Integer.toString(port));
            }
            File file = File.createTempFile("zoo", ".cfg");
            file.deleteOnExit();
            try (OutputStream out = new FileOutputStream(file)) {
                properties.store(out, null);
            }
            server = new ProcessBuilder(command(file)).inheritIO().start();
            if (builder.isFromRandom() || properties.keySet().stream().noneMatch(key -> key.toString().startsWith("server."))) {
                waitUntilItServes();
            } else {
                waitUntilItListens();
            }
        } catch (Exception error) {
            throw new FailedServerStartException(error);
        }
    }

    private static List<String> command(File file) {
        List<String> words = new ArrayList<>();
        words.add("java");
        for (String name : System.getProperties().stringPropertyNames()) {
            if (name.startsWith("zookeeper.") || name.startsWith("znode.") || name.startsWith("readonlymode.")
                || name.startsWith("jute.")) {
                words.add("-D" + name + "=" + System.getProperty(name));
            }
        }
        words.add("-cp");
        words.add(System.getenv("ZOOKEEPER_CLASSPATH"));
        words.add("org.apache.zookeeper.server.quorum.QuorumPeerMain");
        words.add(file.getPath());
        return words;
    }

    private void waitUntilItServes() throws Exception {
        look(() -> ask("srvr").contains("Mode:"));
    }

    /** One of several serves only when others do. */
    private void waitUntilItListens() throws Exception {
        look(() -> {
            ask("srvr");
            return true;
        });
    }

    private interface Sight {
        boolean there() throws IOException;
    }

    private void look(Sight sight) throws Exception {
        long deadline = System.nanoTime() + PATIENCE;
        while (true) {
            try {
                if (sight.there()) {
                    return;
                }
            } catch (IOException notYet) {
                // It has not begun to listen.
            }
            if (!server.isAlive() || System.nanoTime() > deadline) {
                throw new IllegalStateException("the server does not serve");
            }
            Thread.sleep(20);
        }
    }

    private String ask(String word) throws IOException {
        try (Socket socket = new Socket("127.0.0.1", port)) {
            socket.setSoTimeout(1000);
            socket.getOutputStream().write(word.getBytes());
            InputStream in = socket.getInputStream();
            ByteArrayOutputStream answer = new ByteArrayOutputStream();
            for (int next = in.read(); next >= 0; next = in.read()) {
                answer.write(next);
            }
            return answer.toString();
        }
    }

    @Override
    public int getClientPort() {
        return port;
    }

    @Override
    public void kill() {
        end(true);
    }

    @Override
    public void close() {
        end(false);
    }

    private void end(boolean atOnce) {
        if (server == null) {
            return;
        }
        try {
            if (atOnce) {
                server.destroyForcibly().waitFor();
            } else {
                server.destroy();
                if (!server.waitFor(10, TimeUnit.SECONDS)) {
                    server.destroyForcibly().waitFor();
                }
            }
        } catch (InterruptedException interrupted) {
            server.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }
}
