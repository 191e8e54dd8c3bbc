package fraudstream.history

import java.io.{BufferedInputStream, InputStreamReader}
import java.nio.charset.StandardCharsets.UTF_8
import java.nio.file.{Files, Paths}
import java.time.LocalDate
import java.util.concurrent.{ConcurrentHashMap, Executors}
import java.util.zip.GZIPInputStream
import scala.collection.mutable.LongMap
import scala.jdk.CollectionConverters._
import scala.util.control.NonFatal
import scala.util.hashing.MurmurHash3

import com.univocity.parsers.csv.{CsvParser, CsvParserSettings}
import org.apache.spark.internal.Logging

/** Daily tables of the profiles of entities, `<root>/<folder>/<date>.csv.gz`, loaded when a transaction asks for one.
 *
 *  A table is immutable. One that is missing is looked for again every 10 seconds, and that of the following day is
 *  loaded ahead, both in a thread of their own: a stream waits for a table only after a start.
 */
object Profiles extends Logging {
  private type Id = (String, String, Long)
  private val PollNanos = 10000000000L
  private val entries = new ConcurrentHashMap[Id, Entry]()
  private val loader = Executors.newSingleThreadExecutor { task =>
    val thread = new Thread(task, "profiles")
    thread.setDaemon(true)
    thread
  }

  /** The numbers of a day's entities, by 64-bit hashes of ids: of a million, two are equal once in 10^7 tables. */
  final class Table private[history] (val columns: Array[String], rows: LongMap[Array[Double]]) {
    private val none = new Array[Double](columns.length)
    def bytes: Long = rows.size * (40L + 8L * columns.length)

    /** The entity's numbers in the order of `columns`, NaN for a missing one; zeros for an entity without payments. */
    def get(id: String): Array[Double] = rows.getOrElse(hash(id), none)
  }

  private final class Entry(id: Id) {
    @volatile var table: Table = null
    @volatile var usedAt: Long = System.nanoTime()
    @volatile private var isMissing = false
    @volatile private var polledAt = usedAt - PollNanos

    /** Loads the table: at once if `waits`, unless there was none before; else in the loader's thread. */
    def look(now: Long, waits: Boolean): Unit = if (table == null) {
      if (waits && !isMissing) load()
      else if (now - polledAt >= PollNanos) { polledAt = now; loader.execute(() => load()) }
    }

    private def load(): Unit = synchronized {
      val path = Paths.get(id._1, id._2, s"${LocalDate.ofEpochDay(id._3)}.csv.gz")
      try if (table == null && Files.exists(path)) { table = read(path.toString); evict() }
      catch { case NonFatal(e) => logWarning(s"the profile table $path cannot be read: $e") }
      isMissing = table == null
    }
  }

  /** The table of a day (days since 1970) in the folder of a kind of entity, or null while there is none. */
  def of(root: String, folder: String, epochDay: Long): Table = {
    val now = System.nanoTime()
    // Times of all centuries may ask for tables that there will never be.
    if (entries.size > 1000) entries.values.removeIf(_.table == null)
    val entry = entries.computeIfAbsent((root, folder, epochDay), new Entry(_))
    entry.usedAt = now
    entry.look(now, waits = true)
    entries.computeIfAbsent((root, folder, epochDay + 1), new Entry(_)).look(now, waits = false)
    entry.table
  }

  private def hash(id: String): Long =
    MurmurHash3.stringHash(id, 1).toLong << 32 | MurmurHash3.stringHash(id, 2) & 0xffffffffL

  /** Drops the tables that were not used for longest beyond an eighth of the heap, never the last two. */
  private def evict(): Unit = {
    // Other threads set these times meanwhile: each is read once.
    val loaded = entries.asScala.toSeq.filter(_._2.table != null).map(each => (-each._2.usedAt, each)).sortBy(_._1)
    val sizes = loaded.map(_._2._2.table.bytes).scanLeft(0L)(_ + _).tail
    for (((_, (id, entry)), size) <- loaded.zip(sizes).drop(2) if size > Runtime.getRuntime.maxMemory / 8)
      entries.remove(id, entry)
  }

  private def number(cell: String): Double =
    Option(cell).flatMap(_.toDoubleOption).filterNot(_.isInfinite).getOrElse(Double.NaN)

  private def read(path: String): Table = {
    val settings = new CsvParserSettings()
    settings.setMaxCharsPerColumn(-1)
    settings.trimValues(false)
    settings.setEmptyValue("")
    settings.setNormalizeLineEndingsWithinQuotes(false)
    settings.getFormat.setComment('\u0000')
    val parser = new CsvParser(settings)
    val bytes = new GZIPInputStream(new BufferedInputStream(Files.newInputStream(Paths.get(path))), 1 << 16)
    try {
      parser.beginParsing(new InputStreamReader(bytes, UTF_8))
      val columns = parser.parseNext().drop(1)
      val rows = LongMap.empty[Array[Double]]
      for (row <- Iterator.continually(parser.parseNext()).takeWhile(_ != null))
        rows(hash(row(0))) = Array.tabulate(columns.length)(i => number(row(i + 1)))
      new Table(columns, rows)
    } finally bytes.close()
  }
}
