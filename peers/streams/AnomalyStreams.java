import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/** The anomaly rule on Kafka Streams: Processor API, Jackson's streaming parser, one packed history per user. */
public final class AnomalyStreams {
    private static final String STORE = "histories";
    private static final int KEPT = 50;
    private static final int MINIMUM = 3;
    private static final long FLOOR = 500_00;

    public static void main(String[] words) throws InterruptedException {
        Map<String, String> options = options(words);
        boolean recovery = options.containsKey("--recovery");
        boolean compact = options.getOrDefault("--form", "envelope").equals("compact");

        Topology topology = new Topology();
        topology.addSource("events", new ByteArrayDeserializer(), new ByteArrayDeserializer(), options.get("--topic"));
        topology.addProcessor("anomaly", supplier(recovery, compact), "events");
        topology.addSink("alerts", options.get("--alerts"), new StringSerializer(), new StringSerializer(), "anomaly");

        CountDownLatch ended = new CountDownLatch(1);
        KafkaStreams streams = new KafkaStreams(topology, settings(options, recovery));
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            ended.countDown();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            boolean failed = ended.getCount() == 0;
            streams.close();
            // Without this the JVM would end with 143 after SIGTERM.
            Runtime.getRuntime().halt(failed ? 1 : 0);
        }));
        streams.start();
        ended.await();
        System.exit(1);
    }

    private static Map<String, String> options(String[] words) {
        Set<String> known = Set.of("--bootstrap", "--topic", "--alerts", "--group", "--form", "--state", "--processes");
        Map<String, String> found = new HashMap<>();
        for (int i = 0; i < words.length; i++) {
            if (words[i].equals("--recovery")) {
                found.put(words[i], "");
            } else if (known.contains(words[i]) && i + 1 < words.length) {
                found.put(words[i], words[++i]);
            } else {
                throw new IllegalArgumentException("unknown option, or one without its value: " + words[i]);
            }
        }
        return found;
    }

    private static Properties settings(Map<String, String> options, boolean recovery) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, options.get("--group"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, options.get("--bootstrap"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, options.get("--state"));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, options.getOrDefault("--processes", "2"));
        // Exactly once commits every 100 ms by default: each commit flushes the cache and ends a transaction.
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 5000);
        // In the cache a history that changes often is written once a commit, to RocksDB and to the changelog; it has room
        // for those of a million users.
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 768L << 20);
        // Partitions are paused above this number of waiting records, by default 1000.
        settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG,
            recovery ? StreamsConfig.EXACTLY_ONCE_V2 : StreamsConfig.AT_LEAST_ONCE);
        if (recovery) {
            // The 10 s of Streams are too near to a commit every 5 s on a busy machine.
            settings.put(StreamsConfig.producerPrefix(ProducerConfig.TRANSACTION_TIMEOUT_CONFIG), 60_000);
            // A static member: after a crash the new process takes its place at once, not after session.timeout.ms.
            settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG), "anomaly");
        }

        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.ISOLATION_LEVEL_CONFIG), "read_committed");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 8 << 20);
        // Changelog records are 400 bytes: larger batches, compressed, and a short wait to fill them.
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 100);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        return settings;
    }

    private static ProcessorSupplier<byte[], byte[], String, String> supplier(boolean recovery, boolean compact) {
        return new ProcessorSupplier<>() {
            @Override
            public Processor<byte[], byte[], String, String> get() {
                return new Anomaly(compact);
            }

            @Override
            public Set<StoreBuilder<?>> stores() {
                StoreBuilder<KeyValueStore<Integer, byte[]>> store = Stores.keyValueStoreBuilder(
                    recovery ? Stores.persistentKeyValueStore(STORE) : Stores.inMemoryKeyValueStore(STORE),
                    Serdes.Integer(), Serdes.ByteArray());
                return Set.of(recovery ? store.withCachingEnabled() : store.withLoggingDisabled());
            }
        };
    }

    /** The rule. A history is its sum and then its amounts, oldest first, as eight bytes each; all in cents. */
    private static final class Anomaly extends ContextualProcessor<byte[], byte[], String, String> {
        private final JsonFactory factory = new JsonFactory();
        private final boolean compact;
        private KeyValueStore<Integer, byte[]> store;
        private String op;
        private int id;
        private int user;
        private String amount;

        Anomaly(boolean compact) {
            this.compact = compact;
        }

        @Override
        public void init(ProcessorContext<String, String> context) {
            super.init(context);
            store = context.getStateStore(STORE);
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            if (record.value() == null) {
                return;
            }
            op = null;
            try (JsonParser parser = factory.createParser(record.value())) {
                read(parser);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            if (!"c".equals(op)) {
                return;
            }
            long cents = cents(amount);
            byte[] before = store.get(user);
            int n = before == null ? 0 : before.length / 8 - 1;
            long sum = n == 0 ? 0 : ByteBuffer.wrap(before).getLong(0);
            if (n >= MINIMUM && cents > FLOOR && cents * n > 3 * sum) {
                String alert = "{\"transaction_id\":" + id + ",\"user_id\":" + user + ",\"amount\":\"" + amount + "\"}";
                context().forward(new Record<>(Integer.toString(id), alert, record.timestamp()));
            }
            store.put(user, appended(before, n, sum, cents));
        }

        private static byte[] appended(byte[] before, int n, long sum, long cents) {
            int dropped = n == KEPT ? 1 : 0;
            byte[] after = new byte[8 * (n - dropped + 2)];
            ByteBuffer view = ByteBuffer.wrap(after);
            if (n > 0) {
                System.arraycopy(before, 8 + 8 * dropped, after, 8, 8 * (n - dropped));
            }
            view.putLong(0, sum + cents - (dropped == 1 ? ByteBuffer.wrap(before).getLong(8) : 0));
            view.putLong(after.length - 8, cents);
            return after;
        }

        /** Debezium writes a numeric(10,2) with both digits: without its point it is a number of cents. */
        private static long cents(String text) {
            int point = text.length() - 3;
            return Long.parseLong(text.substring(0, point) + text.substring(point + 1));
        }

        private void read(JsonParser parser) throws IOException {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                return;
            }
            if (compact) {
                readRow(parser);
                return;
            }
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                JsonToken value = parser.nextToken();
                if (name.equals("after") && value == JsonToken.START_OBJECT) {
                    readRow(parser);
                } else if (name.equals("op")) {
                    op = parser.getText();
                    // What follows are times.
                    return;
                } else {
                    parser.skipChildren();
                }
            }
        }

        private void readRow(JsonParser parser) throws IOException {
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                parser.nextToken();
                switch (name) {
                    case "id" -> id = parser.getIntValue();
                    case "user_id" -> user = parser.getIntValue();
                    case "amount" -> amount = parser.getText();
                    case "__op" -> op = parser.getText();
                    default -> parser.skipChildren();
                }
            }
        }
    }
}
