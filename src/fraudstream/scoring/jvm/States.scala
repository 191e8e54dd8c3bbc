package fraudstream.history

import java.nio.ByteBuffer
import java.util.{Arrays, HashMap => JavaMap, UUID}

import org.apache.hadoop.fs.Path
import org.apache.spark.TaskContext
import org.apache.spark.sql.catalyst.expressions.{GenericInternalRow, UnsafeProjection, UnsafeRow}
import org.apache.spark.sql.execution.streaming.state._
import org.apache.spark.sql.internal.SQLConf
import org.apache.spark.sql.types._
import org.apache.spark.unsafe.Platform
import org.apache.spark.unsafe.types.UTF8String
import org.apache.spark.util.SerializableConfiguration

/** An entity's transactions by time, those of one time as they came.
 *
 *  State format 1: 8 bytes of base time in ms, then 16 bytes for each transaction, little-endian: time minus base (ms,
 *  uint32), amount (float32, NaN in another currency), hashes of the second entity and of the event id (0 for none).
 */
private[history] final class Events(private var bytes: Array[Byte], var count: Int) {
  var isDirty = false
  private def at(event: Int): Long = Platform.BYTE_ARRAY_OFFSET + 8 + 16L * event
  private def base: Long = Platform.getLong(bytes, Platform.BYTE_ARRAY_OFFSET)
  def time(event: Int): Long = base + (Platform.getInt(bytes, at(event)) & 0xffffffffL)
  def amount(event: Int): Float = Platform.getFloat(bytes, at(event) + 4)
  def partner(event: Int): Int = Platform.getInt(bytes, at(event) + 8)
  def id(event: Int): Int = Platform.getInt(bytes, at(event) + 12)
  def newest: Long = time(count - 1)
  def size: Int = bytes.length
  def state: Array[Byte] = Arrays.copyOf(bytes, 8 + 16 * count)
  /** The position behind the last transaction until `time`. */
  def after(time: Long): Int = { var i = count; while (i > 0 && this.time(i - 1) > time) i -= 1; i }
  def contains(id: Int): Boolean = { var i = count - 1; while (i >= 0 && this.id(i) != id) i -= 1; i >= 0 }

  /** Adds a transaction, and drops those that are older than the newest by more than `span` or beyond the bound. */
  def add(time: Long, amount: Float, partner: Int, id: Int, span: Long): Unit = {
    val oldest = (if (count == 0) time else math.max(time, newest)) - span
    var drop = 0
    while (drop < count && this.time(drop) < oldest) drop += 1
    if (count - drop == Events.Most) drop += 1
    val (place, old) = (after(time), bytes)
    if (time >= oldest && place >= drop) {
      if (count == 0) Platform.putLong(bytes, Platform.BYTE_ARRAY_OFFSET, time)
      else if (time < base || time - base > 0xffffffffL) rebase(if (place == drop) time else this.time(drop), drop)
      val needed = 8 + 16 * (count - drop + 1)
      if (size < needed) bytes = Arrays.copyOf(bytes, needed + needed / 4)
      System.arraycopy(old, 8 + 16 * drop, bytes, 8, 16 * (place - drop))
      System.arraycopy(old, 8 + 16 * place, bytes, 8 + 16 * (place - drop + 1), 16 * (count - place))
      val event = at(place - drop)
      Platform.putInt(bytes, event, (time - base).toInt)
      Platform.putFloat(bytes, event + 4, amount)
      Platform.putInt(bytes, event + 8, partner)
      Platform.putInt(bytes, event + 12, id)
      count += 1 - drop
      isDirty = true
    }
  }

  private def rebase(base: Long, from: Int): Unit = {
    for (event <- from until count) Platform.putInt(bytes, at(event), (time(event) - base).toInt)
    Platform.putLong(bytes, Platform.BYTE_ARRAY_OFFSET, base)
  }
}

private[history] object Events {
  /** The bound of an entity's state; the counts of a hot key are then "at least". */
  val Most = 512
  def of(state: Array[Byte]): Events = new Events(state, (state.length - 8) / 16)
}

/** The states of the entities that a task meets; `begin` is called before each transaction. */
private[history] trait States {
  def begin(partition: Int, offset: Long): Unit
  def of(key: String): Events
}

private[history] final class MemoryStates extends States {
  private val events = new JavaMap[String, Events]()
  override def begin(partition: Int, offset: Long): Unit = ()
  override def of(key: String): Events = events.computeIfAbsent(key, _ => Events.of(new Array[Byte](8)))
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
      val state = if (row == null) new Array[Byte](8) else row.getBinary(0)
      cachedBytes += state.length + BytesPerEntry
      Events.of(state)
    })
  }

  private def rowOf(key: String): UnsafeRow = keys(new GenericInternalRow(Array[Any](UTF8String.fromString(key))))
  private def put(key: String, state: Array[Byte]): Unit =
    store.put(rowOf(key), values(new GenericInternalRow(Array[Any](state))), Family)

  private def flush(): Unit = {
    events.forEach((key, each) => if (each.isDirty) {
      put(key, each.state)
      position = position.copy(newest = math.max(position.newest, each.newest))
    })
    events.clear()
    cachedBytes = 0L
  }

  private def commit(): Unit = if (store != null && (hasFailed || isReplay)) { store.abort(); store = null }
  else if (store != null) {
    flush()
    if ((version + 1) % VersionsPerSweep == 0) {
      // Entities that no window reaches, not even that of a transaction that is late by a whole window.
      val old = store.iterator(Family).filter(pair => !pair.key.isNullAt(0) &&
        Events.of(pair.value.getBinary(0)).newest < position.newest - SweptMs).map(_.key.copy()).toArray
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
  private val Format = 1L

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

  /** What a version says of itself, under the key null: format, base, the offset that it continues at, newest time. */
  private case class Position(base: Long, next: Long, newest: Long) {
    def bytes: Array[Byte] = ByteBuffer.allocate(32).putLong(Format).putLong(base).putLong(next).putLong(newest).array
  }
  private object Position {
    def of(row: UnsafeRow): Position = {
      val bytes = ByteBuffer.wrap(row.getBinary(0))
      require(bytes.getLong == Format, "the history's state was written by another release")
      Position(bytes.getLong, bytes.getLong, bytes.getLong)
    }
  }
}
