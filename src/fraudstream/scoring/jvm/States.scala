package fraudstream.history

import java.nio.ByteBuffer
import java.nio.ByteOrder.LITTLE_ENDIAN
import java.util.{HashMap => JavaMap, UUID}
import scala.collection.mutable.ArrayBuffer

import org.apache.hadoop.fs.Path
import org.apache.spark.TaskContext
import org.apache.spark.sql.catalyst.expressions.{GenericInternalRow, UnsafeProjection, UnsafeRow}
import org.apache.spark.sql.execution.streaming.state._
import org.apache.spark.sql.internal.SQLConf
import org.apache.spark.sql.types._
import org.apache.spark.unsafe.types.UTF8String
import org.apache.spark.util.SerializableConfiguration

/** A transaction in the state: `amount` has the precision of a float, NaN in another currency; `partner` and `id` are
 *  hashes of the second entity and of the event id, 0 for none.
 */
private[history] final case class Event(time: Long, amount: Double, partner: Int, id: Int)

/** An entity's transactions by time, those of one time as they came.
 *
 *  State format 1: 8 bytes of base time in ms, then 16 bytes for each transaction, little-endian: time minus base (ms,
 *  uint32), amount (float32), `partner` and `id`.
 */
private[history] final class Events(state: Array[Byte]) {
  private val all = {
    val in = ByteBuffer.wrap(state).order(LITTLE_ENDIAN)
    val base = if (state.isEmpty) 0L else in.getLong
    def next = Event(base + (in.getInt & 0xffffffffL), in.getFloat, in.getInt, in.getInt)
    ArrayBuffer.fill(state.length / 16)(next)
  }
  var isDirty = false
  def newest: Long = all.last.time
  def isFull: Boolean = all.length == Events.Most
  def oldest: Long = all.head.time
  def contains(id: Int): Boolean = all.exists(_.id == id)

  /** The transactions until the event's time, without its own copies, the newest first. */
  def before(event: Event): Array[Event] = all.reverseIterator.dropWhile(_.time > event.time)
    .filter(each => event.id == 0 || each.id != event.id).toArray

  /** Adds a transaction, and drops those that are older than the newest by more than `span` or beyond the bound. */
  def add(event: Event, span: Long): Unit = {
    val first = (if (all.isEmpty) event.time else math.max(event.time, newest)) - span
    if (event.time >= first) {
      all.insert(all.lastIndexWhere(_.time <= event.time) + 1, event)
      all.dropInPlace(math.max(all.indexWhere(_.time >= first), all.length - Events.Most))
      isDirty = true
    }
  }

  def bytes: Array[Byte] = {
    val out = ByteBuffer.allocate(8 + 16 * all.length).order(LITTLE_ENDIAN).putLong(oldest)
    for (Event(time, amount, partner, id) <- all)
      out.putInt((time - oldest).toInt).putFloat(amount.toFloat).putInt(partner).putInt(id)
    out.array
  }
}

private[history] object Events {
  /** The bound of an entity's state; the counts of a hot key are then "at least". */
  val Most = 512
}

/** The states of the entities that a task meets; `begin` is called before each transaction. */
private[history] trait States {
  def begin(partition: Int, offset: Long): Unit
  def of(key: String): Events
}

private[history] final class MemoryStates extends States {
  private val events = new JavaMap[String, Events]()
  override def begin(partition: Int, offset: Long): Unit = ()
  override def of(key: String): Events = events.computeIfAbsent(key, _ => new Events(Array.empty))
}

/** States in Spark's RocksDB state store, one per partition of Kafka, written back when a task has succeeded.
 *
 *  A store's versions are numbered by themselves and not by batches: each has the offset that it continues at, and a
 *  task takes the newest one without its first record. A batch that is repeated after a crash thus starts from the same
 *  state, wherever it ends this time, and one without records leaves no version. Offsets are compared within one `base`
 *  only: with a new one, for a topic that was created again, the newest version is taken over. A replay only reads.
 */
private[history] final class StoredStates(root: String, base: Long, isReplay: Boolean, conf: StateStoreConf,
    hadoop: SerializableConfiguration) extends States {
  import StoredStates._
  private val task = TaskContext.get()
  private val isStreaming = task.getLocalProperty("streaming.sql.batchId") != null
  private val (keys, values) = (UnsafeProjection.create(KeySchema), UnsafeProjection.create(ValueSchema))
  private val events = new JavaMap[String, Events]()
  private var cachedBytes, version = 0L
  private var store: StateStore = _
  private var partition = -1
  private var position: Position = _
  private var hasFailed = false
  task.addTaskFailureListener((_, _) => hasFailed = true)

  override def begin(partition: Int, offset: Long): Unit = {
    if (partition != this.partition) {
      if (isStreaming && store != null)
        throw new IllegalStateException(s"history needs a task each for partitions ${this.partition} and $partition")
      commit()
      this.partition = partition
      open(offset)
      // The store has a listener too, which discards what is not committed: the one that was added last runs first.
      task.addTaskCompletionListener[Unit](_ => commit())
    }
    if (offset >= position.next) position = position.copy(next = offset + 1)
  }

  override def of(key: String): Events = {
    if (cachedBytes > MostCachedBytes) flush()
    events.computeIfAbsent(key, _ => {
      val row = store.get(rowOf(key), Family)
      val state = if (row == null) Array.empty[Byte] else row.getBinary(0)
      cachedBytes += 3L * state.length + BytesPerEntry
      new Events(state)
    })
  }

  private def rowOf(key: String): UnsafeRow = keys(new GenericInternalRow(Array[Any](UTF8String.fromString(key))))
  private def put(key: String, state: Array[Byte]): Unit =
    store.put(rowOf(key), values(new GenericInternalRow(Array[Any](state))), Family)

  private def flush(): Unit = {
    events.forEach((key, each) => if (each.isDirty) {
      put(key, each.bytes)
      position = position.copy(newest = math.max(position.newest, each.newest))
    })
    events.clear()
    cachedBytes = 0L
  }

  private def commit(): Unit = if (store != null && (hasFailed || isReplay)) { store.abort(); store = null }
  else if (store != null) {
    flush()
    if ((version + 1) % VersionsPerSweep == 0) {
      // Entities that no window reaches, not even that of a transaction that is late by a whole window. The newest time
      // of a state of an earlier release may lie in the far future.
      val first = math.min(position.newest, System.currentTimeMillis) - SweptMs
      val old = store.iterator(Family).filter(pair => !pair.key.isNullAt(0) &&
        new Events(pair.value.getBinary(0)).newest < first).map(_.key.copy()).toArray
      old.foreach(store.remove(_, Family))
    }
    put(null, position.bytes)
    store.commit()
    store = null
  }

  /** Opens the newest version that ends before `offset`, or the newest of all if none does. */
  private def open(offset: Long): Unit = {
    val id = StateStoreProviderId(StateStoreId(root, Operator, partition), new UUID(0L, if (isReplay) 1L else 0L))
    def load(number: Long, anyOffset: Boolean): Boolean = {
      version = number
      store = StateStore.get(id, KeySchema, ValueSchema, NoPrefixKeyStateEncoderSpec(KeySchema), number,
        None, None, false, conf, hadoop.value)
      position = if (number == 0) Position(base, 0L, Long.MinValue) else Position.of(store.get(rowOf(null), Family))
      val isUsable = anyOffset || position.base != base || position.next <= offset
      if (!isUsable) store.abort()
      isUsable
    }
    val folder = new Path(s"$root/$Operator/$partition")
    val files = folder.getFileSystem(hadoop.value)
    val saved = if (files.exists(folder)) files.listStatus(folder).map(_.getPath).toSeq else Nil
    val byVersion = saved.groupBy(file => VersionFile.findFirstMatchIn(file.getName).fold(0L)(_.group(1).toLong)) - 0L
    val versions = byVersion.keys.toSeq.sorted.reverse ++ Option.when(byVersion.isEmpty || byVersion.contains(1L))(0L)
    if (versions.take(MostTried).exists(load(_, anyOffset = offset < 0)))
      // What a crashed batch has left would otherwise be taken for what continues this version.
      for (stale <- versions.takeWhile(_ > version) if !isReplay; file <- byVersion(stale)) files.delete(file, false)
    else load(versions.head, anyOffset = true)
    if (position.base != base) position = Position(base, 0L, position.newest)
  }
}

private[history] object StoredStates {
  private val Operator = 1L
  private val Family = StateStore.DEFAULT_COL_FAMILY_NAME
  private val VersionFile = "^([0-9]+)\\.(?:changelog|zip)$".r
  private val MostTried = 20
  private val VersionsPerSweep = 1000; private val SweptMs = 60 * 86400000L
  private val MostCachedBytes = 16 << 20; private val BytesPerEntry = 150
  private val KeySchema = new StructType().add("key", StringType)
  private val ValueSchema = new StructType().add("events", BinaryType)

  def settings(conf: SQLConf, isStreaming: Boolean): StateStoreConf = {
    val own = conf.clone()
    for ((name, value) <- Seq(
      "providerClass" -> (classOf[StateStore].getPackageName + ".RocksDBStateStoreProvider"),
      // What a batch writes is no change but the whole state.
      "rocksdb.changelogCheckpointing.enabled" -> isStreaming.toString,
      // Otherwise each put reads the key first.
      "rocksdb.trackTotalNumberOfRows" -> "false",
    )) own.setConfString(s"spark.sql.streaming.stateStore.$name", value)
    StateStoreConf(own)
  }

  /** What a version says of itself, under the key null: base, the offset that it continues at, newest time. */
  private case class Position(base: Long, next: Long, newest: Long) {
    def bytes: Array[Byte] = ByteBuffer.allocate(24).putLong(base).putLong(next).putLong(newest).array
  }
  private object Position {
    def of(row: UnsafeRow): Position = {
      val bytes = ByteBuffer.wrap(row.getBinary(0))
      Position(bytes.getLong, bytes.getLong, bytes.getLong)
    }
  }
}
