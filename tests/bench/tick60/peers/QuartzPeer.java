// SPDX-License-Identifier: Apache-2.0

import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.util.Date;
import java.util.List;
import java.util.Properties;
import java.util.TimeZone;
import org.quartz.CronScheduleBuilder;
import org.quartz.Job;
import org.quartz.JobBuilder;
import org.quartz.JobDetail;
import org.quartz.JobExecutionContext;
import org.quartz.Scheduler;
import org.quartz.Trigger;
import org.quartz.TriggerBuilder;
import org.quartz.TriggerKey;
import org.quartz.impl.StdSchedulerFactory;

/**
 * Quartz: one job, a cron trigger for each schedule. With its store in memory a fire is handed over
 * when the job runs (not durable); with its JDBC store (H2, a file) when a row is in a file.
 *
 * <p>Tuned: batches as large as the thread pool, misfires are fired.
 */
public final class QuartzPeer {
    private static FileChannel out;
    private static boolean durable;
    private static ByteBuffer rows = buffer(1 << 16);

    private static ByteBuffer buffer(int size) {
        return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** The job. */
    public static final class Fire implements Job {
        @Override
        public void execute(JobExecutionContext context) {
            Instant now = Instant.now();
            try {
                put(Integer.parseInt(context.getTrigger().getKey().getName()),
                        context.getScheduledFireTime().getTime(),
                        now.getEpochSecond() * 1_000_000 + now.getNano() / 1000);
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        }
    }

    private static synchronized void put(int id, long nominalMs, long receivedUs) throws Exception {
        if (rows.remaining() < 20) {
            ByteBuffer more = buffer(rows.capacity() * 2);
            more.put(rows.flip());
            rows = more;
        }
        rows.putInt(id).putLong(nominalMs).putLong(receivedUs);
        if (durable) {
            writeOut();
        }
    }

    private static synchronized void writeOut() throws Exception {
        rows.flip();
        while (rows.hasRemaining()) {
            out.write(rows);
        }
        rows.clear();
    }

    /** Connections to H2, pooled by H2 itself. */
    public static final class H2 implements org.quartz.utils.ConnectionProvider {
        private org.h2.jdbcx.JdbcConnectionPool pool;
        private String url;

        public void setURL(String text) {
            url = text;
        }

        @Override
        public Connection getConnection() throws SQLException {
            return pool.getConnection();
        }

        @Override
        public void shutdown() {
            pool.dispose();
        }

        @Override
        public void initialize() {
            pool = org.h2.jdbcx.JdbcConnectionPool.create(url, "sa", "");
            pool.setMaxConnections(80);
        }
    }

    private static void createTables(String url) throws Exception {
        try (InputStream in = QuartzPeer.class.getResourceAsStream("/org/quartz/impl/jdbcjobstore/tables_h2.sql");
                Connection connection = java.sql.DriverManager.getConnection(url, "sa", "");
                Statement statement = connection.createStatement()) {
            String text = new String(in.readAllBytes(), StandardCharsets.UTF_8).replaceAll("(?m)^--.*$", "");
            for (String part : text.split(";")) {
                if (!part.isBlank()) {
                    statement.execute(part);
                }
            }
        }
    }

    private static Trigger trigger(JobDetail job, int id, String cron, Date begin) {
        return TriggerBuilder.newTrigger().withIdentity(Integer.toString(id)).forJob(job).startAt(begin)
                .withSchedule(CronScheduleBuilder.cronSchedule(cron).inTimeZone(TimeZone.getTimeZone("UTC"))
                        .withMisfireHandlingInstructionIgnoreMisfires())
                .build();
    }

    /** kind (quartz, quartz-jdbc), n, idle, edits, cron, out file, instant (ms) to begin, resume (0, 1). */
    public static void main(String[] args) throws Exception {
        durable = args[0].equals("quartz-jdbc");
        int n = Integer.parseInt(args[1]);
        int idle = Integer.parseInt(args[2]);
        int edits = Integer.parseInt(args[3]);
        String cron = args[4].replaceAll("\\*$", "?");
        boolean resume = args[7].equals("1");
        Date begin = new Date(Math.max(Long.parseLong(args[6]), System.currentTimeMillis()));
        out = FileChannel.open(Path.of(args[5]), StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        Properties set = new Properties();
        set.put("org.quartz.scheduler.instanceName", "tick60");
        set.put("org.quartz.scheduler.skipUpdateCheck", "true");
        set.put("org.quartz.scheduler.batchTriggerAcquisitionMaxCount", "64");
        set.put("org.quartz.threadPool.class", "org.quartz.simpl.SimpleThreadPool");
        set.put("org.quartz.threadPool.threadCount", "64");
        if (durable) {
            String url = "jdbc:h2:file:" + Path.of(args[5]).toAbsolutePath() + ".h2";
            if (!resume) {
                createTables(url);
            }
            set.put("org.quartz.jobStore.class", "org.quartz.impl.jdbcjobstore.JobStoreTX");
            set.put("org.quartz.jobStore.driverDelegateClass", "org.quartz.impl.jdbcjobstore.StdJDBCDelegate");
            set.put("org.quartz.jobStore.acquireTriggersWithinLock", "true");
            set.put("org.quartz.jobStore.dataSource", "ds");
            set.put("org.quartz.dataSource.ds.connectionProvider.class", H2.class.getName());
            set.put("org.quartz.dataSource.ds.URL", url);
        }
        Scheduler scheduler = new StdSchedulerFactory(set).getScheduler();
        JobDetail job = JobBuilder.newJob(Fire.class).withIdentity("fire").storeDurably().build();
        if (!resume) {
            scheduler.addJob(job, true);
            for (int i = 0; i < n + idle; i++) {
                scheduler.scheduleJob(trigger(job, i, i < n ? cron : "0 0 0 1 1 ?", begin));
            }
        }
        scheduler.start();
        System.out.println("ready");
        List<String> same = List.of("*/1 * * * * ?", cron);
        for (int edit = 0;;) {
            Thread.sleep(20);
            writeOut();
            for (int i = 0; i < edits / 50; i++, edit++) {
                int id = edit % n;
                scheduler.rescheduleJob(TriggerKey.triggerKey(Integer.toString(id)),
                        trigger(job, id, same.get(edit / n % 2), new Date()));
            }
        }
    }
}
