package org.apache.spark.sql.fraudstream {
  import org.apache.spark.sql.Column
  import org.apache.spark.sql.catalyst.expressions.Expression
  import org.apache.spark.sql.classic.ExpressionUtils.{column, expression}

  /** Makes a column of an expression of our own, which only Spark's packages may. */
  object Columns {
    def of(inputs: Seq[Column])(result: Seq[Expression] => Expression): Column = column(result(inputs.map(expression)))
  }
}

package fraudstream.history {
  import java.math.BigDecimal
  import java.time.{Instant, LocalDate, ZoneId}
  import java.util.Arrays
  import java.util.concurrent.ConcurrentHashMap
  import scala.jdk.CollectionConverters._
  import scala.util.hashing.MurmurHash3

  import com.fasterxml.jackson.databind.{JsonNode, ObjectMapper}
  import com.fasterxml.jackson.databind.node.TextNode
  import org.apache.spark.sql.{classic, Dataset, Row}
  import org.apache.spark.sql.catalyst.InternalRow
  import org.apache.spark.sql.catalyst.expressions._
  import org.apache.spark.sql.catalyst.expressions.codegen.CodegenFallback
  import org.apache.spark.sql.catalyst.plans.logical.Project
  import org.apache.spark.sql.catalyst.util.GenericArrayData
  import org.apache.spark.sql.fraudstream.Columns
  import org.apache.spark.sql.functions.{coalesce, col, lit, unix_millis}
  import org.apache.spark.sql.types._
  import org.apache.spark.unsafe.hash.Murmur3_x86_32
  import org.apache.spark.unsafe.types.UTF8String
  import org.apache.spark.util.SerializableConfiguration

  /** Adds to each transaction what its entities did before, in a stream and in batch alike.
   *
   *  Reads the columns `partition`, `offset`, `timestamp`, `text` and `alert_id`, and adds those of `Result`; the frame
   *  `readers` computes an amount and the seconds of a time from the text of its one column.
   */
  object History {
    val Result: StructType = new StructType().add("text_with_history", StringType).add("history", ArrayType(DoubleType))
      .add("entity_ids", ArrayType(StringType)).add("profile_date", StringType)
      .add("history_notes", IntegerType, nullable = false)

    /** With state below `root`, which this query alone writes; `base` as in `StoredStates`.
     *
     *  A replay, in batch, computes what was computed for the same offsets, and only reads the state.
     */
    def live(in: Dataset[Row], readers: Dataset[Row], config: String, root: String, base: Long, isReplay: Boolean)
        : Dataset[Row] = {
      in.sparkSession.streams // registers the coordinator of the state stores, which a batch needs too
      val session = in.sparkSession.asInstanceOf[classic.SparkSession].sessionState
      val conf = StoredStates.settings(session.conf, in.isStreaming)
      val hadoop = new SerializableConfiguration(session.newHadoopConf())
      add(in, readers, config, root, () => new StoredStates(root, base, isReplay, conf, hadoop))
    }

    /** With states in memory: the rows of an entity have to be in one partition of the frame, and in order. */
    def batch(in: Dataset[Row], readers: Dataset[Row], config: String): Dataset[Row] =
      add(in, readers, config, "", () => new MemoryStates)

    private def add(in: Dataset[Row], readers: Dataset[Row], config: String, root: String, states: () => States) = {
      val plan = readers.asInstanceOf[classic.Dataset[Row]].queryExecution.analyzed.asInstanceOf[Project]
      val bound = plan.projectList.map(BindReferences.bindReference[Expression](_, plan.child.output))
      val inputs = Seq(coalesce(col("partition").cast("int"), lit(0)), coalesce(col("offset").cast("long"), lit(-1L)),
        coalesce(unix_millis(col("timestamp")), lit(Long.MaxValue)), col("text"), col("alert_id"))
      val operator = () => new Operator(
        new ObjectMapper().readTree(config), bound.map(each => SafeProjection.create(Seq(each))), root, states())
      in.withColumn("history_result", Columns.of(inputs)(HistoryExpression(_, operator)))
        .select("*", Result.names.map(name => s"history_result.$name").toSeq: _*).drop("history_result")
    }
  }

  /** The operator as an expression: it is not deterministic, so Spark evaluates it once for each row, and in order.
   *
   *  A task makes its own operator. A function has no text, so the configuration, with its secret, is in no plan.
   */
  private[history] case class HistoryExpression(children: Seq[Expression], makeOperator: () => Operator)
      extends Expression with Nondeterministic with CodegenFallback {
    @transient private var operator: Operator = _
    override def dataType: DataType = History.Result
    override def nullable: Boolean = false
    override def stateful: Boolean = true
    override protected def withNewChildrenInternal(children: IndexedSeq[Expression]): HistoryExpression = copy(children)
    override protected def initializeInternal(partitionIndex: Int): Unit = operator = makeOperator()
    override protected def evalInternal(row: InternalRow): Any = {
      val Seq(partition: Int, offset: Long, timestamp: Long, text, id) = children.map(_.eval(row))
      operator.next(partition, offset, timestamp, text.asInstanceOf[UTF8String], id.asInstanceOf[UTF8String])
    }
  }

  /** Computes a task's rows, one after the other. */
  private[history] final class Operator(
      config: JsonNode, readers: Seq[InternalRow => InternalRow], root: String, states: States) {
    import Operator._
    private def texts(list: String, name: String) = config.get(list).asScala.map(_.get(name).asText).toArray
    private val transaction = new Transaction(config, readers)
    private val features = new Features(texts("live", "measure"), texts("live", "ms").map(_.toLong))
    private val lastPartitions =
      if (root.isEmpty) null else Partitions.computeIfAbsent(root, _ => new Array[Long](1 << 20))
    private val kinds = texts("entities", "kind")
    private val isAmount = texts("live", "measure").map(Set("sum", "mean", "ratio"))
    private val profileKinds = texts("profile", "kind").map(kinds.indexOf(_))
    private val profileColumns = texts("profile", "column")
    private val (profiles, folders) = (config.get("profiles").asText(null), texts("entities", "folder"))
    private val (zone, lagMs) = (ZoneId.of(config.get("zone").asText), config.get("lag_ms").asLong)
    private val (spanMs, home) = (config.get("state_days").asLong * DayMs, config.get("home").asText)
    private val members = (texts("live", "name") ++ texts("profile", "name")).map(new TextNode(_).toString)
    private val values = new Array[Double](members.length)
    private val ids = new Array[String](kinds.length)

    /** The columns of `History.Result`; a text that is not one JSON object stays as it is. */
    def next(partition: Int, offset: Long, timestamp: Long, text: UTF8String, id: UTF8String): InternalRow = {
      Arrays.fill(values, Double.NaN)
      Arrays.fill(ids.asInstanceOf[Array[AnyRef]], null)
      if (text == null || !transaction.read(text)) return result(text, null, 0)
      states.begin(partition, offset)
      for (i <- ids.indices) ids(i) = Option(transaction.entity(i)).map(transaction.entityId).orNull
      val (time, amount, currency) = (transaction.time, transaction.amount, transaction.currency)
      val isForeign = !home.isEmpty && currency != null && currency != home
      // Nothing is stored that a wrong date has put far into the future; clocks and zones may differ by hours.
      val arrival = if (root.isEmpty) timestamp else math.min(if (timestamp < 0) Long.MaxValue else timestamp,
        System.currentTimeMillis + DayMs)
      val isAhead = time != Transaction.NoTime && arrival >= 0 && time - MostAheadMs > arrival
      var notes = (if (ids(0) == null) NoKey else 0) | (if (time == Transaction.NoTime) NoTime else 0) |
        (if (amount.isNaN) NoAmount else 0) | (if (isForeign) OtherCurrency else 0) |
        (if (isAhead) Ahead else 0)
      if ((notes & (NoKey | NoTime)) == 0) {
        if (lastPartitions != null && hasMoved(ids(0), partition)) notes |= OtherPartition
        val partner = if (ids.length < 2 || ids(1) == null) 0 else nonZero(MurmurHash3.stringHash(ids(1)))
        val event = Event(time, if (isForeign) Double.NaN else amount, partner, if (id == null) 0 else hash(id))
        notes |= addLive(event, notes)
      }
      val hasProfiles = profileKinds.nonEmpty && time != Transaction.NoTime
      // The last day that has ended for at least the lag.
      val day = if (hasProfiles) Instant.ofEpochMilli(time - lagMs).atZone(zone).toLocalDate.minusDays(1) else null
      val date = if (hasProfiles && addProfiles(day)) day.toString else null
      if (hasProfiles && date == null && !isAhead) notes |= NoProfile
      result(withMembers(text.toString), date, notes)
    }

    private def addLive(event: Event, notes: Int): Int = {
      val events = states.of(ids(0))
      val live = features.of(events, event)
      val hasAmount = (notes & NoAmount) == 0
      for (i <- isAmount.indices if hasAmount || !isAmount(i)) values(i) = rounded(live(i))
      val isRepeated = event.id != 0 && events.contains(event.id)
      val isHot = events.isFull && event.time - events.oldest <= features.longest
      if (hasAmount && !isRepeated && (notes & Ahead) == 0) events.add(event, spanMs)
      (if (isRepeated) Repeated else 0) | (if (isHot) Hot else 0)
    }

    /** Whether the key was in another partition before; of keys with the same hash the last one is remembered. */
    private def hasMoved(key: String, partition: Int): Boolean = {
      val hash = MurmurHash3.stringHash(key)
      val entry = hash.toLong << 32 | (key.hashCode & 0xfffffL) << 12 | (partition + 1) & 0xfffL
      val last = lastPartitions(hash & (lastPartitions.length - 1))
      lastPartitions(hash & (lastPartitions.length - 1)) = entry
      last != 0 && last != entry && last >>> 12 == entry >>> 12
    }

    /** Adds the numbers of the other entities' profiles; false if a table is missing. */
    private def addProfiles(day: LocalDate): Boolean = {
      val tables = kinds.indices.map(kind => if (profiles == null || !profileKinds.contains(kind)) null
        else Profiles.of(profiles, folders(kind), day.toEpochDay))
      for ((kind, i) <- profileKinds.zipWithIndex if tables(kind) != null && ids(kind) != null) {
        val column = tables(kind).columns.indexOf(profileColumns(i))
        if (column >= 0) values(isAmount.length + i) = rounded(tables(kind).get(ids(kind))(column))
      }
      profileKinds.forall(tables(_) != null)
    }

    /** The text with the features as further members of the object. */
    private def withMembers(text: String): UTF8String = {
      val json = new java.lang.StringBuilder(text)
      json.setLength(text.lastIndexOf('}'))
      var separator = if (json.toString.trim.endsWith("{")) "" else ","
      for (i <- members.indices) {
        json.append(separator).append(members(i)).append(':').append(written(values(i)))
        separator = ","
      }
      UTF8String.fromString(json.append('}').toString)
    }

    private def result(text: UTF8String, date: String, notes: Int): InternalRow = {
      val history = UnsafeArrayData.fromPrimitiveArray(values)
      for (i <- values.indices if values(i).isNaN) history.setNullAt(i)
      val entities = new GenericArrayData(ids.map(UTF8String.fromString).asInstanceOf[Array[Any]])
      new GenericInternalRow(Array[Any](text, history, entities, UTF8String.fromString(date), notes))
    }
  }

  private[history] object Operator {
    /** Bits of `history_notes`. */
    val NoKey = 1; val NoTime = 2; val NoAmount = 4; val Ahead = 8; val Repeated = 16; val Hot = 32
    val OtherPartition = 64; val NoProfile = 128; val OtherCurrency = 256
    private val MostAheadMs = 300000L; private val DayMs = 86400000L
    private val Partitions = new ConcurrentHashMap[String, Array[Long]]()

    def hash(text: UTF8String): Int =
      nonZero(Murmur3_x86_32.hashUnsafeBytes(text.getBaseObject, text.getBaseOffset, text.numBytes, 42))
    def nonZero(hash: Int): Int = if (hash == 0) 1 else hash

    /** Six decimals: an amount has no more as a float. */
    def rounded(value: Double): Double = {
      val millionths = math.rint(value * 1e6)
      if (math.abs(millionths) < 1e15) millionths / 1e6 + 0.0 else if (value.isInfinite) Double.NaN else value
    }

    /** A rounded number so that it is read as the same double; a decimal is written in a fraction of the time. */
    def written(value: Double): String = if (value.isNaN) "null"
      else if (math.abs(value) < 1e9) BigDecimal.valueOf(math.round(value * 1e6), 6).toString else value.toString
  }

  /** Computes the features of an entity's transactions before one. */
  private[history] final class Features(measures: Array[String], spans: Array[Long]) {
    private val bySpan = spans.indices.groupBy(spans(_)).toSeq
    val longest: Long = spans.maxOption.getOrElse(0L)

    /** By feature, NaN for none; amounts are added from the newest to the oldest. */
    def of(events: Events, event: Event): Array[Double] = {
      val (before, values) = (events.before(event), new Array[Double](measures.length))
      for ((span, indices) <- bySpan) {
        val window = before.takeWhile(event.time - _.time <= span)
        val amounts = window.map(_.amount).filterNot(_.isNaN)
        val mean = if (amounts.isEmpty) event.amount else amounts.foldLeft(0.0)(_ + _) / amounts.length
        for (i <- indices) values(i) = measures(i) match {
          case "count" => window.length
          case "sum" => amounts.foldLeft(0.0)(_ + _)
          case "mean" => mean
          case "ratio" => if (amounts.isEmpty) event.amount * 0.0 + 1.0 else event.amount / mean
          case "since" => (if (window.isEmpty) span else event.time - window.head.time) / 3600000.0
          case "partners" => window.map(_.partner).filter(_ != 0).distinct.length
          case "first" =>
            if (event.partner == 0) Double.NaN else if (window.exists(_.partner == event.partner)) 0.0 else 1.0
        }
      }
      values
    }
  }
}
