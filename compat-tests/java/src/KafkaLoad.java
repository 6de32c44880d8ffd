import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.serialization.IntegerDeserializer;
import org.apache.kafka.common.serialization.IntegerSerializer;

/**
 * Produces numbers to a topic with acks=all, and consumes them in a group. Arguments: the brokers, and
 * the topic. Each line it reads it answers with one line, or ends:
 *
 * <ul>
 *   <li>{@code topic NAME REPLICAS}: makes a topic of four partitions;
 *   <li>{@code begin}: produces and consumes from now on;
 *   <li>{@code look}: how many records are acknowledged and consumed, and the longest time without an
 *       acknowledgement since the last {@code mark};
 *   <li>{@code mark}: the same, and that time begins anew;
 *   <li>{@code replicas}: the smallest number of replicas in sync of any partition of the topic;
 *   <li>{@code end}: no more is produced; says what is lost, once all that was acknowledged is consumed,
 *       or after a minute.
 * </ul>
 */
final class KafkaLoad {
    private static final int IN_FLIGHT = 20;
    private static final Set<Integer> ACKNOWLEDGED = ConcurrentHashMap.newKeySet();
    private static final Set<Integer> CONSUMED = ConcurrentHashMap.newKeySet();
    private static final Object LOCK = new Object();
    private static int pending;
    private static int failed;
    private static long lastAck;
    private static long longest;
    private static int disordered;
    private static volatile boolean ends;

    private KafkaLoad() {
    }

    private static Properties common(String brokers) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", brokers);
        properties.put("reconnect.backoff.max.ms", "200");
        return properties;
    }

    private static void produce(String brokers, String topic) {
        Properties properties = common(brokers);
        properties.put("acks", "all");
        properties.put("delivery.timeout.ms", "120000");
        properties.put("request.timeout.ms", "5000");
        properties.put("linger.ms", "0");
        try (KafkaProducer<Integer, Integer> producer =
                 new KafkaProducer<>(properties, new IntegerSerializer(), new IntegerSerializer())) {
            for (int number = 0; !ends; number++) {
                int sent = number;
                synchronized (LOCK) {
                    while (pending == IN_FLIGHT) {
                        LOCK.wait();
                    }
                    pending++;
                }
                producer.send(new ProducerRecord<>(topic, sent % 4, sent, sent), (metadata, error) -> acked(sent, error));
            }
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    private static void acked(int number, Exception error) {
        synchronized (LOCK) {
            pending--;
            LOCK.notifyAll();
            if (error != null) {
                failed++;
                return;
            }
            ACKNOWLEDGED.add(number);
            long now = System.nanoTime();
            longest = Math.max(longest, now - lastAck);
            lastAck = now;
        }
    }

    private static void consume(String brokers, String topic) {
        Properties properties = common(brokers);
        properties.put("group.id", "load");
        properties.put("auto.offset.reset", "earliest");
        properties.put("session.timeout.ms", "6000");
        try (KafkaConsumer<Integer, Integer> consumer =
                 new KafkaConsumer<>(properties, new IntegerDeserializer(), new IntegerDeserializer())) {
            consumer.subscribe(Collections.singleton(topic));
            Map<Integer, Long> last = new HashMap<>();
            while (true) {
                for (ConsumerRecord<Integer, Integer> record : consumer.poll(Duration.ofMillis(200))) {
                    // A partition's records come in their order, however often.
                    Long before = last.put(record.partition(), record.offset());
                    if (CONSUMED.add(record.value()) && before != null && record.offset() <= before) {
                        disordered++;
                    }
                }
            }
        }
    }

    private static String look(boolean mark) {
        synchronized (LOCK) {
            long now = System.nanoTime();
            long stall = Math.max(longest, now - lastAck);
            if (mark) {
                longest = 0;
                lastAck = now;
            }
            return "acknowledged " + ACKNOWLEDGED.size() + " consumed " + CONSUMED.size() + " stall "
                + TimeUnit.NANOSECONDS.toMillis(stall);
        }
    }

    private static String replicas(Admin admin, String topic) throws Exception {
        TopicDescription description =
            admin.describeTopics(Collections.singleton(topic)).allTopicNames().get().get(topic);
        int least = Integer.MAX_VALUE;
        for (TopicPartitionInfo partition : description.partitions()) {
            least = Math.min(least, partition.isr().size());
        }
        return "replicas " + least;
    }

    private static String lost() throws InterruptedException {
        ends = true;
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (System.nanoTime() < deadline) {
            synchronized (LOCK) {
                if (pending == 0 && CONSUMED.containsAll(ACKNOWLEDGED)) {
                    break;
                }
            }
            Thread.sleep(20);
        }
        List<Integer> lost = new ArrayList<>(ACKNOWLEDGED);
        lost.removeAll(CONSUMED);
        return "lost " + lost.size() + " disordered " + disordered + " failed " + failed + " acknowledged "
            + ACKNOWLEDGED.size();
    }

    public static void main(String[] arguments) throws Exception {
        String brokers = arguments[0];
        String topic = arguments[1];
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        try (Admin admin = Admin.create(common(brokers))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                String answer;
                try {
                    answer = answer(admin, brokers, topic, line.split(" "));
                } catch (Exception error) {
                    answer = "error " + error;
                }
                System.out.println(answer);
            }
        }
        System.exit(0);
    }

    private static String answer(Admin admin, String brokers, String topic, String[] words) throws Exception {
        switch (words[0]) {
            case "topic":
                NewTopic made = new NewTopic(words[1], 4, Short.parseShort(words[2]));
                admin.createTopics(Collections.singleton(made)).all().get();
                return "made";
            case "begin":
                lastAck = System.nanoTime();
                begin(() -> produce(brokers, topic));
                begin(() -> consume(brokers, topic));
                return "begun";
            case "look":
                return look(false);
            case "mark":
                return look(true);
            case "replicas":
                return replicas(admin, topic);
            case "end":
                return lost();
            default:
                return "error: what is " + words[0] + "?";
        }
    }

    private static void begin(Runnable work) {
        Thread thread = new Thread(work);
        thread.setDaemon(true);
        thread.start();
    }
}
